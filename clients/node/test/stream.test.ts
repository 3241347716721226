import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Worker } from "./fake-broker.js";
import { connected } from "./fixture.js";

const KIB = 1024;
const WINDOW = 256 * KIB;

function sum(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function chunks(worker: Worker, id: number): Buffer[] {
  return worker.notifications("chunk", id).map(({ attachment }) => attachment);
}

function chunkBytes(worker: Worker, id: number): number {
  return chunks(worker, id).reduce((all, { length }) => all + length, 0);
}

function granted(worker: Worker, id: number): number {
  return worker.notifications("credit", id).reduce((all, { message }) => all + message.params.bytes, 0);
}

function credit(worker: Worker, id: number, bytes: number): void {
  worker.send({ method: "credit", params: { id, body: "reply", bytes } });
}

/** Sends a body in chunks as credit comes. */
async function upload(worker: Worker, id: number, body: Buffer): Promise<void> {
  let sent = 0;
  while (sent < body.length) {
    await worker.when(() => granted(worker, id) > sent);
    const piece = body.subarray(sent, Math.min(sent + 60 * KIB, granted(worker, id)));
    worker.send({ method: "chunk", params: { id, body: "call" } }, piece);
    sent += piece.length;
  }
  worker.send({ method: "end", params: { id, body: "call" } });
}

test("large answer goes in chunks, no byte beyond the credit", async (t) => {
  const body = randomBytes(1_000_000);
  const { worker } = await connected(t, (app) => app.get("/0/a", (_req, res) => res.type("bin").send(body)));
  const id = worker.call("GET /0/a");
  const { message, attachment } = await worker.response(id);
  assert.equal(message.result.more, true);
  assert.deepEqual(
    message.result.headers.find(([name]: string[]) => name === "content-length"),
    ["content-length", "1000000"],
  );

  worker.send({ id: 900, method: "ping", params: {} });
  await worker.response(900);
  assert.equal(chunkBytes(worker, id), 0);
  credit(worker, id, 1000);
  await worker.when(() => chunkBytes(worker, id) === 1000);
  worker.send({ id: 901, method: "ping", params: {} });
  await worker.response(901);
  assert.equal(chunkBytes(worker, id), 1000);
  credit(worker, id, 1_000_000);
  await worker.when(() => worker.notifications("end", id).length === 1);

  assert.equal(sum(Buffer.concat([attachment, ...chunks(worker, id)])), sum(body));
});

test("writes wait for a slow reader, and hold a window at most", async (t) => {
  let written = 0;
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", async (_req, res) => {
      for (let i = 0; i < 40; i++) {
        if (!res.write(Buffer.alloc(64 * KIB, i))) await once(res, "drain");
        written++;
      }
      res.end("!");
    }),
  );
  const id = worker.call("GET /0/a");
  await worker.response(id);
  worker.send({ id: 900, method: "ping", params: {} });
  await worker.response(900);
  assert.ok(written <= 5, `${written} pieces were taken without credit`);

  let before = 0;
  while (worker.notifications("end", id).length === 0) {
    credit(worker, id, 64 * KIB);
    await worker.when(() => chunkBytes(worker, id) > before || worker.notifications("end", id).length > 0);
    before = chunkBytes(worker, id);
  }

  assert.equal(before, 39 * 64 * KIB + 1);
});

test("megabytes of one answer do not hold up another answer or a ping", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.get("/0/big", (_req, res) => res.send(Buffer.alloc(8 * KIB * KIB)));
    app.get("/0/small", (_req, res) => res.json(1));
  });
  const big = worker.call("GET /0/big");
  await worker.response(big);
  credit(worker, big, 100 * KIB * KIB);

  await worker.ask("GET /0/small");

  assert.equal(worker.notifications("end", big).length, 0);
  await worker.when(() => worker.notifications("end", big).length === 1);
});

test("two large answers take turns", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/big", (_req, res) => res.send(Buffer.alloc(4 * KIB * KIB))),
  );
  const ids = [worker.call("GET /0/big"), worker.call("GET /0/big")] as const;
  for (const id of ids) await worker.response(id);
  for (const id of ids) credit(worker, id, 100 * KIB * KIB);

  await worker.when(() => ids.some((id) => worker.notifications("end", id).length === 1));

  for (const id of ids) assert.ok(chunkBytes(worker, id) > 2 * KIB * KIB);
});

test("reader that wants no more stops the writer", async (t) => {
  let unread: unknown;
  const { worker, app } = await connected(t, (app) =>
    app.get("/0/a", (_req, res) => {
      res.write("first");
      res.write(Buffer.alloc(100 * KIB), (error) => {
        unread = error;
      });
    }),
  );
  const id = worker.call("GET /0/a");
  await worker.response(id);

  worker.send({ method: "reset", params: { id, body: "reply", code: "cancelled" } });
  worker.send({ id: 900, method: "ping", params: {} });
  await worker.response(900);

  assert.equal((unread as { code: string }).code, "cancelled");
  assert.equal(app.inFlight, 0);
});

test("handler that fails in the middle of an answer cuts it short", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", async (_req, res) => {
      res.write("begin");
      throw new Error("broken");
    }),
  );
  const id = worker.call("GET /0/a");
  await worker.response(id);

  const { message } = await worker.until(({ message }) => message.method === "reset");
  assert.deepEqual(message.params, { id, body: "reply", code: "handler_failed" });
});

test("body in chunks is gathered for an ordinary handler", async (t) => {
  const body = Buffer.from(JSON.stringify({ text: "x".repeat(900_000) }));
  const { worker } = await connected(t, (app) =>
    app.post("/0/a", (req, res) => res.json((req.body as { text: string }).text.length)),
  );
  const headers = [["content-type", "application/json"]];

  const id = worker.call("POST /0/a", { headers, more: true }, body.subarray(0, 1000));
  await upload(worker, id, body.subarray(1000));

  assert.equal((await worker.response(id)).attachment.toString(), "900000");
});

test("gathered body over the endpoint's limit is 413 and stops", async (t) => {
  const { worker, app } = await connected(t, (app) =>
    app.post("/0/a", { bodyLimit: 100_000 }, (_req, res) => res.json("ran")),
  );
  const id = worker.call("POST /0/a", { more: true }, Buffer.alloc(1));
  await worker.when(() => granted(worker, id) >= WINDOW);

  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(100_000));

  const { message, attachment } = await worker.response(id);
  assert.equal(message.result.status, 413);
  assert.equal(JSON.parse(attachment.toString()).code, "body_too_large");
  assert.equal(worker.notifications("reset", id).length, 1);
  assert.equal(app.inFlight, 0);
});

test("gathered body that is cut short never reaches a handler", async (t) => {
  let ran = 0;
  const { worker } = await connected(t, (app) => app.post("/0/a", () => ran++));
  const id = worker.call("POST /0/a", { more: true }, Buffer.from("begin"));

  worker.send({ method: "reset", params: { id, body: "call", code: "cancelled" } });

  assert.equal((await worker.response(id)).message.error.data.code, "cancelled");
  assert.equal(ran, 0);
});

test("streaming handler grants credit as it reads", async (t) => {
  const body = randomBytes(3_000_000);
  const { worker } = await connected(t, (app) =>
    app.post("/0/a", { stream: true, bodyLimit: 10_000_000 }, async (req, res) => {
      const parts: Buffer[] = [];
      for await (const part of req) parts.push(part);
      res.json(sum(Buffer.concat(parts)));
    }),
  );

  const id = worker.call("POST /0/a", { more: true }, body.subarray(0, 10));
  await upload(worker, id, body.subarray(10));

  assert.equal((await worker.response(id)).attachment.toString(), JSON.stringify(sum(body)));
});

test("streaming handler that does not read grants a window at most", async (t) => {
  let go: (() => void) | undefined;
  const { worker } = await connected(t, (app) =>
    app.post("/0/a", { stream: true }, async (req, res) => {
      const reader = req[Symbol.asyncIterator]();
      await reader.next();
      await new Promise<void>((resume) => {
        go = resume;
      });
      let bytes = 0;
      for (let part = await reader.next(); !part.done; part = await reader.next()) bytes += part.value.length;
      res.json(bytes);
    }),
  );
  const id = worker.call("POST /0/a", { more: true }, Buffer.from("1"));
  const whole = upload(worker, id, Buffer.alloc(2_000_000));
  await worker.when(() => granted(worker, id) >= WINDOW);
  for (let i = 0; i < 20; i++) {
    worker.send({ id: 900 + i, method: "ping", params: {} });
    await worker.response(900 + i);
  }
  assert.ok(granted(worker, id) <= 2 * WINDOW, `${granted(worker, id)} were granted`);

  go?.();
  await whole;

  assert.equal((await worker.response(id)).attachment.toString(), "2000000");
});

test("streamed body that is cut short is an error to its reader, never an end", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.post("/0/a", { stream: true }, async (req, res) => {
      try {
        for await (const _ of req);
        res.json("end");
      } catch (error) {
        res.json((error as { code: string }).code);
      }
    }),
  );
  const id = worker.call("POST /0/a", { more: true }, Buffer.from("begin"));
  await worker.when(() => granted(worker, id) > 0);

  worker.send({ method: "reset", params: { id, body: "call", code: "cancelled" } });

  assert.equal((await worker.response(id)).attachment.toString(), '"body_reset"');
});

test("streaming handler that answers without reading refuses the body", async (t) => {
  const { worker, app } = await connected(t, (app) =>
    app.post("/0/a", { stream: true }, (_req, res) => res.status(403).json("no")),
  );

  const id = worker.call("POST /0/a", { more: true }, Buffer.from("begin"));

  assert.equal((await worker.response(id)).message.result.status, 403);
  await worker.until(({ message }) => message.method === "reset" && message.params.body === "call");
  assert.equal(app.inFlight, 0);
});

test("more than was granted ends the session", async (t) => {
  const { worker } = await connected(t, (app) => app.post("/0/a", (_req, res) => res.json(1)));
  const id = worker.call("POST /0/a", { more: true });
  await worker.when(() => granted(worker, id) > 0);

  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(WINDOW));
  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(WINDOW));
  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(WINDOW));
  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(WINDOW));
  worker.send({ method: "chunk", params: { id, body: "call" } }, Buffer.alloc(WINDOW));

  // Refused by the endpoint's limit, or by the credit: never taken in silence.
  await worker.until(({ message }) => message.id === null || message.method === "reset");
});

test("answers that wait for a slow reader come as they were made", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/n/:n", (req, res) => {
      handled++;
      res.send(String(req.params.n).repeat(2_000));
    }),
  );
  let handled = 0;
  const ids: number[] = [];
  // More than the sockets of both ends hold, in answers that are small enough to be copied.
  worker.socket.pause();
  while (ids.length < 2_000) {
    for (let i = 0; i < 100; i++) ids.push(worker.call("GET /0/n/{n}", { path: `/0/n/${1_000 + ids.length}` }));
    while (handled < ids.length) await setImmediate();
  }

  worker.socket.resume();

  for (const [at, id] of ids.entries()) {
    const { attachment } = await worker.response(id);
    assert.ok(attachment.toString() === String(1_000 + at).repeat(2_000), `answer ${at}`);
  }
});

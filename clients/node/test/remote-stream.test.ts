import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import type { App } from "../src/app.js";
import type { HeraError } from "../src/errors.js";
import type { Json, Worker } from "./fake-broker.js";
import { connected } from "./fixture.js";

const KIB = 1024;
const WINDOW = 256 * KIB;
const nothing = (_app: App): void => {};

function about(worker: Worker, method: string, id: number, body: string): Json[] {
  return worker
    .notifications(method, id)
    .filter(({ message: { params } }) => params.remote === true && params.body === body)
    .map(({ message, attachment }) => ({ ...message.params, attachment }));
}

function granted(worker: Worker, id: number): number {
  return about(worker, "credit", id, "reply").reduce((all, { bytes }) => all + bytes, 0);
}

function chunks(worker: Worker, id: number): Buffer {
  return Buffer.concat(about(worker, "chunk", id, "call").map(({ attachment }) => attachment));
}

function tell(worker: Worker, method: string, id: number, params: Json, attachment?: Buffer): void {
  worker.send({ method, params: { id, remote: true, ...params } }, attachment);
}

/** Sends the body of an answer as credit comes. */
async function download(worker: Worker, id: number, body: Buffer): Promise<void> {
  for (let sent = 0; sent < body.length; ) {
    await worker.when(() => granted(worker, id) > sent);
    const piece = body.subarray(sent, Math.min(sent + 60 * KIB, granted(worker, id)));
    tell(worker, "chunk", id, { body: "reply" }, piece);
    sent += piece.length;
  }
  tell(worker, "end", id, { body: "reply" });
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  const error = (await call.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  )) as HeraError;
  return error.code;
}

test("large body goes in chunks, no byte beyond the credit", async (t) => {
  const body = randomBytes(1_000_000);
  const { app, worker } = await connected(t, nothing);
  const reply = app.call("POST /0/a", { body });
  const { id, params, body: first } = await worker.remote();
  assert.equal(params.more, true);

  await worker.settled();
  assert.equal(chunks(worker, id).length, 0);
  tell(worker, "credit", id, { body: "call", bytes: 1_000 });
  await worker.when(() => chunks(worker, id).length === 1_000);
  await worker.settled();
  assert.equal(chunks(worker, id).length, 1_000);
  tell(worker, "credit", id, { body: "call", bytes: 1_000_000 });
  await worker.when(() => about(worker, "end", id, "call").length === 1);

  assert.ok(Buffer.concat([first, chunks(worker, id)]).equals(body));
  worker.answer(id);
  await reply;
});

test("body of pieces is read as credit comes, and holds a window at most", async (t) => {
  let made = 0;
  const { app, worker } = await connected(t, nothing);
  const source = async function* (): AsyncGenerator<string | Uint8Array> {
    yield "begin ";
    for (; made < 40; made++) yield new Uint8Array(64 * KIB);
  };
  const reply = app.call("POST /0/a", { body: source() });
  const { id, params, body } = await worker.remote();
  await worker.settled();
  assert.deepEqual([params.more, body.length, made], [true, 0, 0]);

  tell(worker, "credit", id, { body: "call", bytes: 10 });
  await worker.when(() => chunks(worker, id).length === 10);
  await worker.settled();
  assert.ok(made <= 6, `${made} pieces were taken`);
  tell(worker, "credit", id, { body: "call", bytes: 4_000_000 });
  await worker.when(() => about(worker, "end", id, "call").length === 1);
  worker.answer(id);

  await reply;
  assert.equal(chunks(worker, id).length, 6 + 40 * 64 * KIB);
  assert.equal(chunks(worker, id).subarray(0, 6).toString(), "begin ");
});

test("body of a call streams on into a call within it, and the answer back", async (t) => {
  const body = randomBytes(700_000);
  const { worker } = await connected(t, (app) =>
    app.post("/0/a", { stream: true }, async (req, res) => {
      const reply = await req.call("PUT /0/b", { body: req, headers: req.headers, stream: true });
      await pipeline(reply.body, res.status(reply.status));
    }),
  );
  const id = worker.call("POST /0/a", { more: true, headers: [["content-type", "a/b"]] });
  const { id: remote, params } = await worker.remote();
  assert.deepEqual(params.headers, [["content-type", "a/b"]]);
  tell(worker, "credit", remote, { body: "call", bytes: 1_000_000 });
  for (let sent = 0; sent < body.length; ) {
    const most = (): number =>
      worker.notifications("credit", id).reduce((all, { message: { params } }) => {
        return params.body === "call" && !params.remote ? all + params.bytes : all;
      }, 0);
    await worker.when(() => most() > sent);
    const piece = body.subarray(sent, Math.min(sent + 60 * KIB, most()));
    worker.send({ method: "chunk", params: { id, body: "call" } }, piece);
    sent += piece.length;
  }
  worker.send({ method: "end", params: { id, body: "call" } });
  await worker.when(() => about(worker, "end", remote, "call").length === 1);
  assert.ok(chunks(worker, remote).equals(body));

  worker.answer(remote, { status: 201, more: true }, "begin ");
  assert.equal((await worker.response(id)).message.result.status, 201);
  await download(worker, remote, Buffer.from("end"));
  worker.send({ method: "credit", params: { id, body: "reply", bytes: 1_000 } });
  await worker.when(() => worker.notifications("end", id).some(({ message }) => message.params.body === "reply"));
});

test("answer in chunks is gathered and parsed", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const value = { text: "x".repeat(900_000) };
  const bytes = Buffer.from(JSON.stringify(value));
  const reply = app.call("GET /0/a");
  const { id } = await worker.remote();

  worker.answer(id, { more: true, headers: [["content-type", "application/json"]] }, bytes.subarray(0, 1_000));
  await download(worker, id, bytes.subarray(1_000));

  assert.deepEqual((await reply).body, value);
});

test("gathered answer over its limit is refused, and stopped", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const call = codeOf(app.call("GET /0/a", { bodyLimit: 100_000 }));
  const { id } = await worker.remote();
  worker.answer(id, { more: true }, "x");
  await worker.when(() => granted(worker, id) > 100_000);

  tell(worker, "chunk", id, { body: "reply" }, Buffer.alloc(100_000));

  assert.equal(await call, "reply_too_large");
  await worker.when(() => about(worker, "reset", id, "reply").length === 1);
  const small = codeOf(app.call("GET /0/a", { bodyLimit: 2 }));
  worker.answer((await worker.remote(1)).id, {}, "xxx");
  assert.equal(await small, "reply_too_large");
});

test("streamed answer grants credit as it is read", async (t) => {
  const body = randomBytes(3_000_000);
  const { app, worker } = await connected(t, nothing);
  const call = app.call("GET /0/a", { stream: true });
  const { id } = await worker.remote();
  worker.answer(id, { more: true }, body.subarray(0, 10));
  const sent = download(worker, id, body.subarray(10));
  const reply = await call;
  await worker.settled();
  assert.equal(granted(worker, id), 0);

  const whole = await buffer(reply.body);

  await sent;
  assert.ok(whole.equals(body));
  const short = app.call("GET /0/b", { stream: true });
  worker.answer((await worker.remote(1)).id, {}, "all of it");
  assert.equal(await text((await short).body), "all of it");
});

test("answer that is destroyed, read or not, is reset", async (t) => {
  const { app, worker } = await connected(t, nothing);
  for (const n of [0, 1]) {
    const call = app.call("GET /0/a", { stream: true });
    const { id } = await worker.remote(n);
    worker.answer(id, { more: true }, "begin");
    const { body } = await call;
    if (n === 1) assert.equal(String((await body[Symbol.asyncIterator]().next()).value), "begin");

    body.destroy();

    await worker.when(() => about(worker, "reset", id, "reply").length === 1);
  }
});

test("answer that is cut short is an error to who reads it, and to who waits for all of it", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const gathered = codeOf(app.call("GET /0/a"));
  const { id } = await worker.remote();
  worker.answer(id, { more: true }, "begin");
  tell(worker, "reset", id, { body: "reply", code: "worker_lost" });
  assert.equal(await gathered, "worker_lost");

  const call = app.call("GET /0/a", { stream: true });
  const { id: second } = await worker.remote(1);
  worker.answer(second, { more: true }, "begin");
  const read = codeOf(text((await call).body));
  tell(worker, "reset", second, { body: "reply", code: "deadline_exceeded" });
  assert.equal(await read, "deadline_exceeded");

  const lost = app.call("GET /0/a", { stream: true });
  worker.answer((await worker.remote(2)).id, { more: true }, "begin");
  const rest = codeOf(text((await lost).body));
  worker.socket.destroy();
  assert.equal(await rest, "broker_lost");
});

test("cancel of a call ends the streams of the call within it", async (t) => {
  let code: unknown;
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", async (req) => {
      const { body } = await req.call("GET /0/b", { stream: true });
      body.on("error", (error) => {
        code = (error as HeraError).code;
      });
      body.resume();
    }),
  );
  const id = worker.call("GET /0/a");
  const { id: remote } = await worker.remote();
  worker.answer(remote, { more: true }, "begin");
  await worker.when(() => granted(worker, remote) > 0);

  worker.send({ method: "cancel", params: { id } });
  await worker.when(() => worker.notifications("cancel", remote).length === 1);
  await worker.settled();

  assert.equal(code, "cancelled");
});

test("body that cannot be read fails its call, before and while it goes", async (t) => {
  const { app, worker } = await connected(t, nothing);
  assert.equal(await codeOf(app.call("POST /0/a", { body: createReadStream("/none") })), "cancelled");
  const broken = async function* (): AsyncGenerator<string> {
    yield "begin";
    throw new Error("broken");
  };
  const call = codeOf(app.call("POST /0/b", { body: broken() }));
  const { id } = await worker.until(({ message }) => message.params?.target === "/0/b").then(({ message }) => message);

  tell(worker, "credit", id, { body: "call", bytes: 1_000 });

  assert.equal(await call, "cancelled");
  await worker.when(() => worker.notifications("cancel", id).length === 1);
  const odd = codeOf(app.call("POST /0/c", { body: Readable.from([{ a: 1 }]) }));
  const { message } = await worker.until(({ message }) => message.params?.target === "/0/c");
  tell(worker, "credit", message.id, { body: "call", bytes: 1_000 });
  assert.equal(await odd, "cancelled");
});

test("body of which nobody wants more is stopped, and the answer still comes", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const body = Readable.from(
    (async function* () {
      for (;;) yield Buffer.alloc(64 * KIB);
    })(),
  );
  const call = app.call("POST /0/a", { body });
  const { id } = await worker.remote();
  tell(worker, "credit", id, { body: "call", bytes: WINDOW });
  await worker.when(() => chunks(worker, id).length > 0);

  tell(worker, "reset", id, { body: "call", code: "body_too_large" });
  worker.answer(id, { status: 413 });

  assert.equal((await call).status, 413);
  await new Promise<void>((closed) => (body.closed ? closed() : body.once("close", closed)));
});

test("refused call lets go of its body", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const body = new Readable({ read() {} });
  const call = codeOf(app.call("POST /0/a", { body }));
  const { id } = await worker.remote();

  worker.refuse(id, "forbidden", 403);

  assert.equal(await call, "forbidden");
  assert.ok(body.destroyed);
  await worker.when(() => about(worker, "reset", id, "call").length === 1);
});

test("answer that comes before the call's body ended lets the rest go on", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const call = app.call("POST /0/a", { body: Buffer.alloc(400_000) });
  const { id } = await worker.remote();

  worker.answer(id, { status: 202 });
  assert.equal((await call).status, 202);
  tell(worker, "credit", id, { body: "call", bytes: 400_000 });

  await worker.when(() => about(worker, "end", id, "call").length === 1);
});

test("chunk without credit, and credit beyond all bounds, are fatal", async (t) => {
  const { app, worker, broker } = await connected(t, nothing);
  const reply = app.call("GET /0/a", { stream: true });
  const { id } = await worker.remote();
  worker.answer(id, { more: true });
  const { body } = await reply;
  const one = new Promise((failed) => body.once("error", failed)) as Promise<HeraError>;
  tell(worker, "chunk", id, { body: "reply" }, Buffer.alloc(1));
  const fault = (of: Worker): Promise<string> =>
    of.until(({ message }) => message.id === null).then(({ message }) => message.error.data.code);
  assert.equal(await fault(worker), "credit_exceeded");
  assert.equal((await one).code, "broker_lost");

  const second = await broker.worker(1);
  await second.settled();
  const two = codeOf(app.call("POST /0/a", { body: Buffer.alloc(400_000) }));
  const { id: large } = await second.remote();
  for (const bytes of [2 ** 31 - 1, 2 ** 31 - 1]) tell(second, "credit", large, { body: "call", bytes });
  assert.equal(await fault(second), "credit_exceeded");
  assert.equal(await two, "broker_lost");

  const third = await broker.worker(2);
  await third.settled();
  const three = codeOf(app.call("POST /0/a", { body: Buffer.alloc(400_000) }));
  tell(third, "credit", (await third.remote()).id, { body: "call", bytes: 0 });
  assert.equal(await fault(third), "invalid_params");
  assert.equal(await three, "broker_lost");
});

test("whatever a broker says about calls, each of them settles", async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const pick = <Each>(from: readonly Each[]): Each => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return from[Math.floor((state / 2 ** 31) * from.length)] as Each;
  };
  const settled = async (call: Promise<{ body: unknown }>): Promise<void> => {
    const reply = await call.catch(() => undefined);
    if (reply?.body instanceof Readable) await buffer(reply.body).catch(() => {});
  };
  for (let round = 0; round < 20; round++) {
    const { app, worker } = await connected(t, nothing);
    const calls = Array.from({ length: 8 }, () => {
      const body = pick([undefined, { a: 1 }, Buffer.alloc(300_000), Readable.from(["x", "y"])]);
      return settled(app.call("POST /0/a", { body, stream: pick([true, false]), bodyLimit: 1_000 }));
    });
    const { id: last } = await worker.remote(7);
    for (let n = 0; n < 60 && !worker.closed; n++) {
      const id = last - pick([0, 1, 2, 3, 4, 5, 6, 7, -1, 1_000]);
      const params = { id, remote: true, body: pick(["call", "reply", "x", 7]), code: pick(["worker_lost", 5]) };
      const bytes = pick([1, 1_000, 400_000, 0, -1, "x"]);
      const status = pick([200, 200, 404, 99]);
      pick([
        () => worker.answer(id, { status, more: pick([true, false, undefined, 1]) }, "x"),
        () => worker.refuse(id, pick(["no_worker", "forbidden", ""]), pick([503, 403, 7])),
        () => worker.send({ method: pick(["end", "reset", "cancel"]), params }),
        () => worker.send({ method: "credit", params: { ...params, bytes } }),
        () => worker.send({ method: "chunk", params }, Buffer.alloc(pick([0, 1, 2_000]))),
        () => worker.send(pick(['{"jsonrpc":"2.0","id":1e9,"result":{}}', `{"jsonrpc":"2.0","id":${id},"error":7}`])),
      ])();
    }
    worker.socket.destroy();
    await Promise.all(calls);
    assert.equal(app.inFlight, 0);
  }
});

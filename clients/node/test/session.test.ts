import assert from "node:assert/strict";
import { test } from "node:test";
import type { App } from "../src/app.js";
import { encodeFrame } from "../src/frame.js";
import { FakeBroker } from "./fake-broker.js";
import { connected, makeApp } from "./fixture.js";

function codeOf(received: { message: { error?: { data: { code: string } } } }): string | undefined {
  return received.message.error?.data.code;
}

const echo = (app: App): void => {
  app.get("/0/echo", (req, res) => res.json({ query: req.query }));
};

test("ping and status are answered", async (t) => {
  const { worker } = await connected(t, echo);

  worker.send({ id: 1, method: "ping", params: {} });
  worker.send({ id: 2, method: "status", params: {} });

  assert.deepEqual((await worker.response(1)).message.result, {});
  const load = (await worker.response(2)).message.result;
  assert.deepEqual(Object.keys(load), ["cpu", "rss_bytes", "rss_limit_bytes", "delay_ms", "in_flight"]);
  for (const value of Object.values(load)) assert.ok(Number.isFinite(value) && (value as number) >= 0);
  assert.ok(load.cpu <= 1);
});

test("unknown request is answered, unknown notification dropped", async (t) => {
  const { worker } = await connected(t, echo);

  worker.send({ method: "future", params: {} });
  worker.send({ id: 1, method: "future", params: {} });

  assert.equal(codeOf(await worker.response(1)), "unknown_method");
});

test("frames byte by byte and a thousand in one segment are answered alike", async (t) => {
  const { worker } = await connected(t, echo);
  const ids = Array.from({ length: 1_000 }, () => worker.nextId());
  const frames = ids.map((id) => worker.callFrame(id, "GET /0/echo", { query: `n=${id}` }));

  for (const byte of frames[0] as Buffer) worker.raw(Buffer.from([byte]));
  worker.raw(Buffer.concat(frames.slice(1)));

  for (const id of ids) {
    const { message, attachment } = await worker.response(id);
    assert.equal(message.result.status, 200);
    assert.deepEqual(JSON.parse(attachment.toString()), { query: { n: String(id) } });
  }
});

test("oversized frame is named and cut", async (t) => {
  const { worker } = await connected(t, echo);

  worker.raw(Buffer.from("ffffffff00000002", "hex"));

  const { message } = await worker.until(({ message }) => message.id === null);
  assert.equal(message.error.data.code, "frame_too_large");
  await worker.gone();
});

test("third head that is not JSON is fatal, the first two are answered", async (t) => {
  const { worker, broker } = await connected(t, echo);
  const errors = (): string[] =>
    worker.received.filter(({ message }) => message.id === null).map(({ message }) => message.error.data.code);

  worker.send("not json");
  worker.send('{"jsonrpc":"2.0","id":1,"result":1,"error":{}}');
  worker.send({ id: 9, method: "ping", params: {} });
  await worker.response(9);
  assert.deepEqual(errors(), ["parse_error"]);
  assert.equal(codeOf(await worker.response(1)), "invalid_request");
  worker.send("[]");

  await worker.gone();
  assert.deepEqual(errors(), ["parse_error", "invalid_request"]);
  await broker.worker(1);
});

test("answers to ids never issued are dropped, the hundredth ends the session", async (t) => {
  const { worker } = await connected(t, echo);

  for (let i = 0; i < 99; i++) worker.send({ id: 1000 + i, result: {} });
  worker.send({ id: 1, method: "ping", params: {} });
  await worker.response(1);
  worker.send({ id: 5000, result: {} });

  await worker.gone();
});

test("call whose deadline passed is not started", async (t) => {
  let ran = 0;
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", (_req, res) => {
      ran++;
      res.json(1);
    }),
  );

  const received = await worker.ask("GET /0/a", { timeout_ms: 0 });

  assert.equal(codeOf(received), "past_deadline");
  assert.equal(ran, 0);
});

test("call read after the loop was blocked past its deadline is not started", async (t) => {
  const ran: string[] = [];
  const { worker } = await connected(t, (app) => {
    app.get("/0/block", (_req, res) => {
      const until = performance.now() + 600;
      while (performance.now() < until);
      res.json(1);
    });
    app.get("/0/a", (req, res) => {
      ran.push(req.id);
      res.json(1);
    });
  });

  // The broker lives in this process too, so what is sent in the next turn waits in the socket until the block is over.
  const blocked = worker.call("GET /0/block");
  const late = new Promise<number>((sent) => setImmediate(() => sent(worker.call("GET /0/a", { timeout_ms: 300 }))));

  await worker.response(blocked);
  const answer = await worker.response(await late);
  // Which of the two came first is the kernel's choice: run in time, or refused, but never run late.
  assert.ok(codeOf(answer) === "past_deadline" ? ran.length === 0 : ran.length === 1);
});

test("call whose deadline passes while the handler before it blocks the loop is not started", async (t) => {
  let started = 0;
  const { worker } = await connected(t, (app) => {
    app.get("/0/block", (_req, res) => {
      started += 1;
      // Under what makes the clock late, and over the deadline of what was read together with this.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      res.json({});
    });
  });
  const [first, second] = [worker.nextId(), worker.nextId()];

  worker.raw(
    Buffer.concat([
      worker.callFrame(first, "GET /0/block"),
      worker.callFrame(second, "GET /0/block", { timeout_ms: 30 }),
    ]),
  );

  assert.equal((await worker.response(first)).message.result.status, 200);
  assert.equal(codeOf(await worker.response(second)), "past_deadline");
  assert.equal(started, 1);
});

test("deadline aborts the signal of a running handler", async (t) => {
  let aborted: unknown;
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", (req, res) => {
      req.signal.addEventListener("abort", () => {
        aborted = req.signal.reason.code;
        res.json("late");
      });
    }),
  );

  await worker.ask("GET /0/a", { timeout_ms: 150 });

  assert.equal(aborted, "past_deadline");
});

test("cancel aborts the signal, and nothing more is sent for that call", async (t) => {
  let reason: unknown;
  const { worker, app } = await connected(t, (app) => {
    app.get("/0/a", (req, res) => {
      req.signal.addEventListener("abort", () => {
        reason = req.signal.reason.code;
        res.json("too late");
      });
    });
    echo(app);
  });
  const id = worker.call("GET /0/a");
  await worker.ask("GET /0/echo");

  worker.send({ method: "cancel", params: { id } });
  worker.send({ method: "cancel", params: { id: 999 } });
  await worker.ask("GET /0/echo");

  assert.equal(reason, "cancelled");
  assert.equal(worker.received.filter(({ message }) => message.id === id).length, 0);
  assert.equal(app.inFlight, 0);
});

test("cancel that comes with its call keeps the handler from running", async (t) => {
  let ran = 0;
  const { worker } = await connected(t, (app) => {
    app.get("/0/a", () => ran++);
    echo(app);
  });
  const id = worker.nextId();
  const cancel = encodeFrame(JSON.stringify({ jsonrpc: "2.0", method: "cancel", params: { id } }));

  worker.raw(Buffer.concat([worker.callFrame(id, "GET /0/a"), cancel]));
  await worker.ask("GET /0/echo");

  assert.equal(ran, 0);
});

test("calls over what was agreed are refused as busy", async (t) => {
  const { worker } = await connected(t, (app) => app.get("/0/a", () => {}), {}, { limits: { in_flight_max: 2 } });
  worker.call("GET /0/a");
  worker.call("GET /0/a");

  assert.equal(codeOf(await worker.ask("GET /0/a")), "busy");
});

test("params that are no call are refused", async (t) => {
  const { worker } = await connected(t, echo);
  for (const params of [
    { method: 1 },
    { headers: [["a"]] },
    { timeout_ms: "x" },
    { more: 1 },
    { caller: "x" },
    { query: 5 },
  ]) {
    assert.equal(codeOf(await worker.ask("GET /0/echo", params)), "invalid_params", JSON.stringify(params));
  }
});

test("drain: fence, then the calls in flight, then the end", async (t) => {
  let answer: (() => void) | undefined;
  const { worker, app } = await connected(t, (app) => {
    app.get("/0/slow", (_req, res) => {
      answer = () => res.json("done");
    });
    echo(app);
  });
  worker.fence = false;
  const slow = worker.call("GET /0/slow");
  await worker.ask("GET /0/echo");

  const closed = app.close();
  const { message } = await worker.until(({ message }) => message.method === "drain");
  const before = await worker.ask("GET /0/echo");
  assert.equal(before.message.result.status, 200);
  worker.send({ id: message.id, result: {} });
  worker.send({ id: 77, method: "ping", params: {} });
  await worker.response(77);
  assert.equal(worker.closed, false);
  answer?.();

  await worker.response(slow);
  await closed;
  await worker.gone();
  assert.deepEqual(app.brokers, []);
});

test("drain writes everything before it closes", async (t) => {
  const big = Buffer.alloc(256 * 1024, 7);
  const { worker, app } = await connected(t, (app) => app.get("/0/big", (_req, res) => res.send(big)));
  const ids = Array.from({ length: 40 }, () => worker.call("GET /0/big"));
  await worker.response(ids[0] as number);

  await app.close();

  for (const id of ids) assert.equal((await worker.response(id)).attachment.length, big.length);
});

test("drain that takes too long is cut and said so", async (t) => {
  const { worker, app, lines } = await connected(t, (app) => app.get("/0/a", () => {}), { drainTimeout: 50 });
  worker.call("GET /0/a");
  worker.send({ id: 50, method: "ping", params: {} });
  await worker.response(50);

  await app.close();

  assert.ok(lines.some(([message]) => message.includes("outlasted")));
  await worker.gone();
});

test("drain of the broker is answered, and calls are still served", async (t) => {
  const { worker, broker } = await connected(t, echo);

  worker.send({ id: 1, method: "drain", params: {} });
  await worker.response(1);
  worker.nextId();
  assert.equal((await worker.ask("GET /0/echo")).message.result.status, 200);
  assert.equal(broker.accepted, 1);
  worker.socket.end();

  await broker.worker(1);
});

test("mute broker is left after 8 s, judged after reading, and dialled again", async (t) => {
  const broker = await FakeBroker.start();
  const app = makeApp(broker);
  t.after(async () => {
    clock = () => real();
    await broker.stop();
    await app.close();
  });
  const real = performance.now.bind(performance);
  let clock = real;
  t.mock.method(performance, "now", () => clock());
  await app.connect();
  await broker.worker();

  let ahead = 0;
  clock = () => real() + ahead;
  const step = setInterval(() => {
    ahead += 40;
  }, 5);
  await broker.worker(1);
  clearInterval(step);

  assert.ok(broker.accepted >= 2);
});

test("connection that ends aborts its calls", async (t) => {
  let reason: unknown;
  const { worker, app, broker } = await connected(t, (app) =>
    app.get("/0/a", (req) => {
      req.signal.addEventListener("abort", () => {
        reason = req.signal.reason.code;
      });
    }),
  );
  worker.call("GET /0/a");
  worker.send({ id: 40, method: "ping", params: {} });
  await worker.response(40);

  worker.socket.destroy();
  await broker.worker(1);

  assert.equal(reason, "connection_lost");
  assert.equal(app.inFlight, 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { App } from "../src/app.js";
import { callName } from "../src/chain.js";
import { HeraError } from "../src/errors.js";
import type { RemoteReply } from "../src/remote-reply.js";
import type { CallOptions } from "../src/remote-request.js";
import type { Json, Worker } from "./fake-broker.js";
import { connected } from "./fixture.js";

const nothing = (_app: App): void => {};

/** Makes a call outside of any, answers it, and gives what it resolved to. */
async function answered(
  app: App,
  worker: Worker,
  n: number,
  result: Json,
  body?: Buffer | string,
  options: CallOptions = {},
): Promise<RemoteReply> {
  const reply = app.call("GET /0/a", options);
  worker.answer((await worker.remote(n)).id, result, body);
  return reply;
}

async function failure(call: Promise<unknown>): Promise<HeraError> {
  const error = await call.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HeraError, String(error));
  return error;
}

test("call within a call takes request id, caller, trace, chain and the time that is left along", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.post("/0/orders", async (req, res) => {
      const user = await req.call<{ name: string }>("GET /0/users/42", { query: { full: true } });
      res.json({ user: user.body.name, by: user.worker, id: user.requestId, attempts: user.attempts, ok: user.ok });
    }),
  );
  const chain = ["0123456789abcdef"];
  const trace = { traceparent: "00-1-2-03", tracestate: "a=b" };
  const caller = { token: "shop", labels: { team: "ads" }, ip: "10.0.0.9", service: "gate" };

  const id = worker.call("POST /0/orders", { query: "a=1", chain, trace, caller, timeout_ms: 9_000 });
  const { params, id: remote } = await worker.remote();
  worker.answer(remote, { headers: [["content-type", "application/json"]] }, '{"name":"ann"}');

  assert.deepEqual(worker.hello.features, ["remote_call"]);
  const { timeout_ms, ...rest } = params;
  assert.ok(timeout_ms > 8_000 && timeout_ms <= 9_000, String(timeout_ms));
  assert.deepEqual(rest, {
    method: "GET",
    target: "/0/users/42?full=true",
    headers: [],
    request_id: `r-${id}`,
    caller: { token: "shop", labels: { team: "ads" }, ip: "10.0.0.9" },
    trace,
    chain: [...chain, callName("POST", "/0/orders", "a=1")],
  });
  const { attachment } = await worker.response(id);
  assert.deepEqual(JSON.parse(attachment.toString()), {
    user: "ann",
    by: "users/1.0/a",
    id: `r-${id}`,
    attempts: 1,
    ok: true,
  });
});

test("app that declares nothing calls, and closes when its calls are answered", async (t) => {
  const { app, worker } = await connected(t, nothing);
  assert.deepEqual(worker.endpoints, []);

  const reply = app.call("POST /0/a", { body: { n: 1 }, timeout: "2s" });
  const { id, params, body } = await worker.remote();
  assert.equal(params.timeout_ms, 2_000);
  assert.deepEqual([params.chain, params.caller, body.toString()], [undefined, undefined, '{"n":1}']);
  const closed = app.close();
  await worker.until(({ message }) => message.method === "drain");
  await worker.settled();
  assert.equal(worker.closed, false);
  worker.answer(id, { status: 201 });

  const { status, body: none, requestId } = await reply;
  assert.deepEqual([status, none, requestId], [201, undefined, params.request_id]);
  await closed;
  await worker.gone();
});

test("body of an answer is parsed by its type, as that of a call is", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const typed = (type: string, ...more: [string, string][]): Json => ({ headers: [["content-type", type], ...more] });
  let n = 0;
  const body = async (result: Json, bytes?: Buffer | string): Promise<unknown> =>
    (await answered(app, worker, n++, result, bytes)).body;

  assert.deepEqual(await body(typed("application/problem+json"), '{"a":1}'), { a: 1 });
  assert.equal(await body(typed("text/html; charset=utf-8"), "\u00e9"), "\u00e9");
  assert.deepEqual(
    { ...((await body(typed("application/x-www-form-urlencoded"), "a=1&a=2")) as object) },
    {
      a: ["1", "2"],
    },
  );
  assert.deepEqual(await body(typed("application/octet-stream"), "x"), Buffer.from("x"));
  assert.deepEqual(await body({}, "x"), Buffer.from("x"));
  assert.equal(await body(typed("application/json")), undefined);
  assert.equal(await body(typed("text/plain")), undefined);
  const zipped: [string, string] = ["content-encoding", "gzip"];
  assert.deepEqual(await body(typed("application/json", zipped), gzipSync("[1]")), [1]);
  assert.equal(await body(typed("text/plain", zipped), gzipSync("hello")), "hello");
  assert.deepEqual(await body(typed("text/plain; charset=latin1"), Buffer.from([0xe9])), Buffer.from([0xe9]));
  assert.deepEqual(await body(typed("text/plain", ["content-encoding", "zstd"]), "x"), Buffer.from("x"));

  const { code, executed, status } = await failure(body(typed("application/json"), "{"));
  assert.deepEqual([code, executed, status], ["bad_body", "maybe", 502]);
});

test("any status of a worker is a value, with its headers", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const headers = [
    ["x-name", "J\u00fcrgen"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ];

  for (const [n, status] of [200, 404, 503, 500].entries()) {
    const reply = await answered(app, worker, n, { status, headers });
    assert.deepEqual([reply.status, reply.ok], [status, status === 200]);
    assert.deepEqual({ ...reply.headers }, { "x-name": "J\u00fcrgen", "set-cookie": ["a=1", "b=2"] });
  }
});

test("what a broker answers itself is an error with all that it says", async (t) => {
  const { app, worker } = await connected(t, nothing);
  const call = failure(app.call("GET /0/a?secret=1"));

  worker.refuse((await worker.remote()).id, "workers_busy", 503, { retry_after: 2, executed: "no" });

  const { code, status, executed, requestId, retryAfter, message, stack } = await call;
  assert.deepEqual([code, status, executed, requestId, retryAfter], ["workers_busy", 503, "no", "r-broker", 2]);
  assert.equal(message, "GET /0/a: because of workers_busy");
  assert.match(stack ?? "", /remote\.test/);
});

test("error that a handler does not take is told to its caller by its kind alone", async (t) => {
  const { worker, lines } = await connected(t, (app) =>
    app.get("/0/a", async (req, res) => res.json((await req.call("GET /0/secret")).body)),
  );
  const cases: [code: string, status: number, told: number][] = [
    ["workers_busy", 503, 503],
    ["deadline_exceeded", 504, 504],
    ["call_cycle", 508, 508],
    ["forbidden", 403, 502],
    ["not_found", 404, 502],
    ["handler_failed", 500, 502],
    ["rate_limited", 429, 502],
  ];
  for (const [n, [code, status, told]] of cases.entries()) {
    const id = worker.call("GET /0/a");
    worker.refuse((await worker.remote(n)).id, code, status, { retry_after: 3 });

    const { message, attachment } = await worker.response(id);
    assert.equal(message.result.status, told, code);
    const problem = JSON.parse(attachment.toString());
    assert.deepEqual([problem.code, problem.detail], ["call_failed", `a remote call failed: ${code}`]);
    assert.ok(!attachment.toString().includes("secret"));
    assert.deepEqual(
      message.result.headers.find(([name]: string[]) => name === "retry-after"),
      ["retry-after", "3"],
    );
  }
  assert.equal(lines.length, cases.length);
});

test("call within a cancelled call is cancelled, and nobody is told of an error", async (t) => {
  let seen: HeraError | undefined;
  const { worker, app, lines } = await connected(t, (app) =>
    app.get("/0/a", async (req) => {
      await req.call("GET /0/b").catch((error) => {
        seen = error;
        throw error;
      });
    }),
  );
  const id = worker.call("GET /0/a");
  const { id: remote } = await worker.remote();

  worker.send({ method: "cancel", params: { id } });
  const { message } = await worker.until(({ message }) => message.method === "cancel");
  worker.answer(remote, {}, "late");
  await worker.settled();

  assert.deepEqual(message.params, { id: remote, remote: true });
  assert.deepEqual([seen?.code, seen?.executed], ["cancelled", "maybe"]);
  assert.deepEqual([app.inFlight, lines.length], [0, 0]);
  assert.equal(worker.received.filter(({ message }) => message.id === id).length, 0);
});

test("signal cancels, before it is sent and after; an answered call forgets its signal", async (t) => {
  const { worker, app } = await connected(t, nothing);
  const reason = new Error("enough");
  assert.equal((await failure(app.call("GET /0/a", { signal: AbortSignal.abort(reason) }))).executed, "no");

  const abort = new AbortController();
  const call = failure(app.call("GET /0/a", { signal: abort.signal }));
  const { id } = await worker.remote(0);
  abort.abort(reason);
  const { code, cause } = await call;
  await worker.until(({ message }) => message.method === "cancel" && message.params.id === id);

  assert.deepEqual([code, cause], ["cancelled", reason]);
  const later = new AbortController();
  await answered(app, worker, 1, {}, undefined, { signal: later.signal });
  later.abort();
  await worker.settled();
  assert.equal(worker.received.filter(({ message }) => message.method === "cancel").length, 1);
});

test("time that is left bounds a call, and none is made where nothing is left", async (t) => {
  const seen: (HeraError | undefined)[] = [];
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", async (req, res) => {
      await new Promise<void>((passed) => req.signal.addEventListener("abort", () => passed()));
      await req.call("GET /0/b", { timeout: 5_000 }).catch((error) => seen.push(error));
      res.end();
    }),
  );

  await worker.ask("GET /0/a", { timeout_ms: 50 });

  assert.deepEqual([seen[0]?.code, seen[0]?.executed, seen[0]?.status], ["deadline_exceeded", "no", 504]);
  assert.equal(worker.received.filter(({ message }) => message.method === "call").length, 0);
});

test("call that no broker answers in its time is given up, and cancelled", async (t) => {
  const { worker, app } = await connected(t, nothing);
  const from = performance.now();

  const { code, status, executed } = await failure(app.call("GET /0/a", { timeout: 20 }));

  assert.deepEqual([code, status, executed], ["deadline_exceeded", 504, "maybe"]);
  assert.ok(performance.now() - from >= 520);
  await worker.until(({ message }) => message.method === "cancel" && message.params.remote === true);
});

test("a hundred at once go in one turn, and each gets its own answer", async (t) => {
  const { worker, app } = await connected(t, nothing);
  const calls = Promise.all(Array.from({ length: 100 }, (_, n) => app.call(`GET /0/${n}`)));
  await worker.remote(99);

  for (let n = 99; n >= 0; n--) {
    const { id, params } = await worker.remote(n);
    worker.answer(id, { headers: [["content-type", "text/plain"]] }, params.target);
  }

  assert.deepEqual(
    (await calls).map(({ body }) => body),
    Array.from({ length: 100 }, (_, n) => `/0/${n}`),
  );
});

test("calls over what was agreed are refused here", async (t) => {
  const { worker, app } = await connected(t, nothing, {}, { limits: { in_flight_max: 2 } });
  const two = [app.call("GET /0/a"), app.call("GET /0/b")];

  const { code, executed, status } = await failure(app.call("GET /0/c"));

  assert.deepEqual([code, executed, status], ["overloaded", "no", 503]);
  for (const n of [0, 1]) worker.answer((await worker.remote(n)).id);
  await Promise.all(two);
  await answered(app, worker, 2, {});
});

test("without a broker, and with one that takes no remote calls, it says so", async (t) => {
  const { app, worker } = await connected(t, nothing, {}, { features: [] });

  const { code, executed, message } = await failure(app.call("GET /0/a"));

  assert.deepEqual([code, executed], ["unknown_method", "no"]);
  assert.match(message, /take no remote calls/);
  assert.equal(worker.received.length, 0);
  await app.close();
  const { code: none, executed: not, status } = await failure(app.call("GET /0/a"));
  assert.deepEqual([none, not, status], ["no_broker", "no", 503]);
});

test("handler that runs while the app closes still calls", async (t) => {
  let go: (() => void) | undefined;
  const { worker, app } = await connected(t, (app) =>
    app.get("/0/a", async (req, res) => {
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      res.json((await req.call("GET /0/b")).status);
    }),
  );
  const id = worker.call("GET /0/a");
  await worker.settled();

  const closed = app.close();
  await worker.until(({ message }) => message.method === "drain");
  go?.();
  worker.answer((await worker.remote()).id, { status: 204 });

  assert.equal((await worker.response(id)).attachment.toString(), "204");
  await closed;
});

test("answers that break the protocol fail the call and nothing else", async (t) => {
  const { worker, app } = await connected(t, nothing);
  const bad: Json[] = [
    { status: 99 },
    { status: "200" },
    { status: 600 },
    { headers: "none" },
    { headers: [["x-a", "a\r\nx-b: c"]] },
    { headers: [["x-a", "\u0100"]] },
    { headers: [["x a", "b"]] },
    { headers: [["x-a"]] },
    { headers: Array.from({ length: 101 }, () => ["x-a", "1"]) },
    { more: 1 },
  ];
  for (const [n, result] of bad.entries()) {
    const { code, executed, status } = await failure(answered(app, worker, n, result));
    assert.deepEqual([code, executed, status], ["bad_reply", "maybe", 502], JSON.stringify(result));
  }
  const call = app.call("GET /0/a");
  worker.send({ id: (await worker.remote(bad.length)).id, result: null });
  assert.equal((await failure(call)).code, "bad_reply");
  const unreadable = app.call("GET /0/a");
  const { id } = await worker.remote(bad.length + 1);
  worker.send(`{"jsonrpc":"2.0","id":${id},"result":{},"error":{}}`);
  assert.deepEqual([(await failure(unreadable)).code, (await failure(unreadable)).executed], ["bad_reply", "maybe"]);

  const { body } = await answered(app, worker, bad.length + 2, { meta: undefined }, "x");
  assert.deepEqual(body, Buffer.from("x"));
});

test("second answer, and notifications about calls that nobody knows, are dropped", async (t) => {
  const { worker, app } = await connected(t, nothing);
  await answered(app, worker, 0, {}, "first");
  const { id } = await worker.remote(0);

  worker.answer(id, {}, "second");
  for (const method of ["chunk", "end", "reset", "credit", "cancel", "other"]) {
    worker.send({ method, params: { id, remote: true, body: "reply", bytes: 5 } }, Buffer.from("x"));
    worker.send({ method, params: { id: "x", remote: true } });
  }

  assert.equal((await answered(app, worker, 1, { status: 202 })).status, 202);
});

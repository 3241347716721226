import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { App } from "../src/app.js";
import { Clock } from "../src/clock.js";
import { HeraError } from "../src/errors.js";
import { Latency } from "../src/latency.js";
import { type Outcome, RemoteCall, type RemoteHost } from "../src/remote-call.js";
import { RemoteCalls } from "../src/remote-calls.js";
import { type RemoteRequest, readRequest } from "../src/remote-request.js";
import type { RemoteSession } from "../src/remote-session.js";
import { FakeBroker, type Manners, type Worker } from "./fake-broker.js";
import { makeApp } from "./fixture.js";

interface Cluster {
  app: App;
  brokers: FakeBroker[];
  workers: Worker[];
}

/** An app on some brokers. */
async function cluster(t: TestContext, ...manners: Manners[]): Promise<Cluster> {
  const brokers = await Promise.all(manners.map((each, n) => FakeBroker.start({ id: `b-${n}`, ...each })));
  const app = makeApp({ url: `hera://${brokers.map(({ port }) => `127.0.0.1:${port}`).join(",")}` });
  t.after(async () => {
    await Promise.all(brokers.map((broker) => broker.stop()));
    await app.close();
  });
  await app.connect();
  const workers = await Promise.all(brokers.map((broker) => broker.worker()));
  while (app.brokers.length < brokers.length) await new Promise((turn) => setImmediate(turn));
  return { app, brokers, workers };
}

/** Which of the workers has the `n`th call that all of them got together, and the call. */
async function taken(workers: Worker[], n = 0): Promise<{ by: Worker; id: number }> {
  for (;;) {
    const all = workers.flatMap((by) =>
      by.received.filter(({ message }) => message.method === "call").map(({ message }) => ({ by, id: message.id })),
    );
    const found = all[n];
    if (found) return found;
    await new Promise((turn) => setImmediate(turn));
  }
}

function other(workers: Worker[], one: Worker): Worker {
  return workers.find((each) => each !== one) as Worker;
}

async function failure(call: Promise<unknown>): Promise<HeraError> {
  return (await call.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  )) as HeraError;
}

test("broker without a worker for it sends the call on to each of the others, once", async (t) => {
  const { app, workers } = await cluster(t, {}, {}, {});
  const call = app.call("POST /0/a", { body: { n: 1 } });
  const first = await taken(workers);
  first.by.refuse(first.id, "no_worker", 503);
  const rest = workers.filter((each) => each !== first.by);
  const second = await taken(rest);
  second.by.refuse(second.id, "no_worker", 503);
  const third = other(rest, second.by);
  const { id, body } = await third.remote();
  assert.equal(body.toString(), '{"n":1}');
  third.answer(id, { status: 201 });
  assert.equal((await call).status, 201);

  const refused = failure(app.call("GET /0/b"));
  for (const worker of workers) {
    void worker
      .until(({ message }) => message.params?.target === "/0/b")
      .then(({ message }) => worker.refuse(message.id, "no_worker", 503, { retry_after: 1 }));
  }
  const { code, executed, retryAfter } = await refused;
  assert.deepEqual([code, executed, retryAfter], ["no_worker", "no", 1]);
});

test("body of pieces that nobody took of goes on to the next broker", async (t) => {
  const { app, workers } = await cluster(t, {}, {});
  const pieces = async function* (): AsyncGenerator<string> {
    yield "all of it";
  };
  const call = app.call("POST /0/a", { body: pieces() });
  const { by, id } = await taken(workers);
  by.refuse(id, "no_worker", 503);
  const next = other(workers, by);
  const { id: again } = await next.remote();

  next.send({ method: "credit", params: { id: again, remote: true, body: "call", bytes: 100 } });
  const { attachment } = await next.until(({ message }) => message.method === "chunk");
  next.answer(again);

  assert.equal(attachment.toString(), "all of it");
  assert.equal((await call).status, 200);
});

test("connection that is lost: what may run twice is sent again, once; of the rest it is told that it may have run", async (t) => {
  const { app, brokers, workers } = await cluster(t, {}, {});
  const get = app.call("GET /0/a");
  const { by } = await taken(workers);
  by.socket.destroy();
  const next = other(workers, by);
  next.answer((await next.remote()).id, { status: 203 });
  assert.equal((await get).status, 203);

  const back = await (brokers[workers.indexOf(by)] as FakeBroker).worker(1);
  while (app.brokers.length < 2) await new Promise((turn) => setImmediate(turn));
  const both = [next, back];
  const calls = ["POST", "GET"].map((method) => failure(app.call(`${method} /0/b`)));
  const arrived = (worker: Worker, method: string): boolean =>
    worker.received.some(({ message: { params } }) => params?.target === "/0/b" && params.method === method);
  while (!["POST", "GET"].every((method) => both.some((each) => arrived(each, method)))) {
    await new Promise((turn) => setImmediate(turn));
  }
  for (const each of both) each.socket.destroy();
  for (const call of calls) {
    const { code, executed, status } = await call;
    assert.deepEqual([code, executed, status], ["broker_lost", "maybe", 502]);
  }
});

test("call that may have run on a lost broker stays so, whatever the next one says", async (t) => {
  const { app, workers } = await cluster(t, {}, {});
  const call = failure(app.call("PUT /0/a", { body: "x" }));
  const { by } = await taken(workers);
  by.socket.destroy();
  const next = other(workers, by);

  next.refuse((await next.remote()).id, "no_worker", 503);

  const { code, executed } = await call;
  assert.deepEqual([code, executed], ["no_worker", "maybe"]);
});

test("broker that drains gets calls only while there is no other", async (t) => {
  const { app, workers } = await cluster(t, {}, {});
  const [leaving, staying] = workers as [Worker, Worker];
  leaving.send({ id: 1, method: "drain", params: {} });
  await leaving.response(1);

  const calls = Array.from({ length: 20 }, () => app.call("GET /0/a"));
  for (let n = 0; n < 20; n++) staying.answer((await staying.remote(n)).id);
  await Promise.all(calls);

  staying.socket.destroy();
  while (app.brokers.length > 1) await new Promise((turn) => setImmediate(turn));
  const last = app.call("GET /0/a");
  leaving.answer((await leaving.remote()).id);
  assert.equal((await last).status, 200);
});

test("broker that takes no remote calls, or is full, leaves them to the others", async (t) => {
  const { app, workers } = await cluster(t, { features: [] }, { limits: { in_flight_max: 1 } }, {});
  const [old, small, large] = workers as [Worker, Worker, Worker];

  const calls = Array.from({ length: 10 }, () => app.call("GET /0/a"));
  const got = (worker: Worker): number => worker.received.filter(({ message }) => message.method === "call").length;
  while (got(small) + got(large) < 10) await new Promise((turn) => setImmediate(turn));

  assert.equal(got(old), 0);
  assert.ok(got(small) <= 1);
  for (const worker of [small, large]) {
    for (let n = 0; n < got(worker); n++) worker.answer((await worker.remote(n)).id);
  }
  await Promise.all(calls);
});

// ---- the choice, on sessions that are values

interface Way {
  live: boolean;
  offered: boolean;
  drains: boolean;
  full: boolean;
  inFlight: number;
  latency: Latency;
  made: number;
}

function way(over: Partial<Way> = {}): Way {
  return {
    live: true,
    offered: true,
    drains: false,
    full: false,
    inFlight: 0,
    latency: new Latency(),
    made: 0,
    ...over,
  };
}

/** Calls over these, each settled at once, with random numbers that a seed fixes. */
function calls(ways: Way[], outcomes: () => Outcome, seed = 1): RemoteCalls {
  let state = seed;
  const random = (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  const sessions = ways.map((each) =>
    Object.assign(each, {
      call: (_request: unknown, _timeout: unknown, settle: (outcome: Outcome) => void) => {
        each.made++;
        setImmediate(settle, outcomes());
      },
    }),
  );
  return new RemoteCalls(() => sessions as unknown as RemoteSession[], new Clock(() => 1_000), random);
}

async function many(remote: RemoteCalls, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await remote.make(readRequest("GET /0/a", {}, undefined));
}

const fine: Outcome = {
  status: 200,
  headers: [],
  meta: { worker: "", attempts: 1, workerMs: 0 },
  body: Buffer.alloc(0),
};

test("of two brokers the one with less in flight times latency is taken; equal ones share", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const slow = way();
  slow.latency.measured(50, 1_000);
  const fast = way({ inFlight: 3 });
  await many(
    calls([slow, fast], () => fine, seed),
    50,
  );
  assert.deepEqual([slow.made, fast.made], [0, 50], `seed ${seed}`);

  const equal = [way(), way(), way()];
  await many(
    calls(equal, () => fine, seed),
    3_000,
  );
  for (const { made } of equal) assert.ok(made > 700 && made < 1_300, `${made}, seed ${seed}`);
});

test("call of which no byte was handed over is sent again, whatever its method, once", async () => {
  const unwritten: RemoteHost = { open: true, writes: 0, frame() {}, offer() {}, withdraw() {}, over() {} };
  const post = (): RemoteRequest => readRequest("POST /0/a", {}, undefined);
  const [lost] = await new Promise<Outcome[]>((settled) => {
    const call = new RemoteCall(unwritten, 1, post(), undefined, 0, (outcome) => settled([outcome]));
    call.lost(new HeraError("connection_lost", "gone"));
  });
  const outcomes = [lost, fine] as Outcome[];
  const ways = [way(), way(), way()];
  const { status } = await calls(ways, () => outcomes.shift() as Outcome).make(post());
  assert.equal(status, 200);
  assert.deepEqual(ways.map(({ made }) => made).sort(), [0, 1, 1]);

  const twice = calls([way(), way(), way()], () => lost as Outcome).make(post());
  const { code, executed } = await failure(twice);
  assert.deepEqual([code, executed], ["broker_lost", "no"]);
});

test("latency jumps up, falls slowly, and fades while nobody measures", () => {
  const latency = new Latency();
  assert.equal(latency.read(0), 1);
  latency.measured(100, 0);
  assert.equal(latency.read(0), 100);
  latency.measured(10, 1_000);
  assert.ok(latency.read(1_000) > 80 && latency.read(1_000) < 100);
  latency.measured(200, 1_000);
  assert.equal(latency.read(1_000), 200);
  assert.ok(latency.read(11_000) < 75);
  assert.equal(latency.read(1_000_000), 1);
});

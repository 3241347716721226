import assert from "node:assert/strict";
import { test } from "node:test";
import { HeraError, hera } from "../src/index.js";
import { FakeBroker, secret } from "./fake-broker.js";
import { connected, keeper, makeApp } from "./fixture.js";

function refusedWith(code: string) {
  return (error: unknown) => error instanceof HeraError && error.code === code;
}

test("connect resolves and calls back once a broker accepted the declaration", async (t) => {
  const broker = await FakeBroker.start();
  const app = makeApp(broker, { version: "1.2.3" });
  t.after(async () => {
    await broker.stop();
    await app.close();
  });
  app.get("/0/a/:id", { timeout: 500, bodyLimit: 10, concurrency: 3, headers: ["Accept"] }, () => {});
  app.post("/0/b/:id", { idempotent: true }, () => {});
  app.use("/0/hidden", () => {});
  app.all("/0/c/*rest", () => {});

  let called = 0;
  await app.connect(() => called++);

  assert.equal(called, 1);
  const { endpoints, hello } = await broker.worker();
  assert.deepEqual(endpoints, [
    { endpoint: "GET /0/a/{id}", timeout_ms: 500, body_bytes_max: 10, concurrency: 3, headers: ["accept"] },
    { endpoint: "POST /0/b/{id}", idempotent: true },
    { endpoint: "* /0/c/{*rest}" },
    { endpoint: "OPTIONS /0/a/{id}" },
    { endpoint: "OPTIONS /0/b/{id}" },
  ]);
  assert.equal(hello.version, "1.2.3");
  assert.match(hello.instance, /^[A-Za-z0-9._-]{1,64}$/);
  assert.match(hello.nonce, /^[0-9a-f]{64}$/);
  assert.deepEqual(app.brokers, ["b-fake"]);
});

test("refused key rejects", async (t) => {
  const broker = await FakeBroker.start({ refuse: "unauthenticated" });
  t.after(() => broker.stop());
  await assert.rejects(makeApp(broker).connect(), refusedWith("unauthenticated"));
});

test("refused endpoint rejects and is named", async (t) => {
  const broker = await FakeBroker.start({ forbid: ["GET /0/b"] });
  t.after(() => broker.stop());
  const app = makeApp(broker);
  app.get("/0/a", () => {});
  app.get("/0/b", () => {});

  await assert.rejects(app.connect(), (error: HeraError) => {
    assert.equal(error.code, "declaration_refused");
    assert.deepEqual(
      error.endpoints.map(({ endpoint, code }) => [endpoint, code]),
      [["GET /0/b", "endpoint_forbidden"]],
    );
    return true;
  });
});

test("broker without proof is left, believed in nothing, and keeps nobody from the others", async (t) => {
  const impostor = await FakeBroker.start({ impostor: true, refuse: "unauthenticated" });
  const other = await FakeBroker.start({ refuseHello: "unauthenticated" });
  const good = await FakeBroker.start();
  const { log, lines } = keeper();
  const app = hera({
    brokers: `hera://127.0.0.1:${impostor.port},127.0.0.1:${other.port},127.0.0.1:${good.port}`,
    secret,
    signals: false,
    log,
  });
  t.after(async () => {
    await Promise.all([impostor.stop(), other.stop(), good.stop()]);
    await app.close();
  });

  await app.connect();

  await good.worker();
  assert.equal(impostor.workers.length, 0);
  assert.ok(lines.every(([message]) => !message.includes(secret)));
});

test("broker that is away is dialled until it comes, and again after it went", async (t) => {
  const first = await FakeBroker.start();
  const { port } = first;
  await first.stop();
  const app = makeApp({ url: `hera://127.0.0.1:${port}` });
  t.after(() => app.close());
  app.get("/0/a", (_req, res) => res.json(1));
  const done = app.connect();

  const second = await FakeBroker.start({}, port);
  await done;
  await second.worker();
  await second.stop();
  const third = await FakeBroker.start({}, port);
  const worker = await third.worker();

  assert.equal((await worker.ask("GET /0/a")).message.result.status, 200);
  await third.stop();
});

test("one broker away keeps nobody from the others", async (t) => {
  const good = await FakeBroker.start();
  const app = hera({ brokers: `hera://127.0.0.1:1,127.0.0.1:${good.port}`, secret, signals: false, log: false });
  t.after(async () => {
    await good.stop();
    await app.close();
  });

  await app.connect();

  assert.deepEqual(app.brokers, ["b-fake"]);
});

test("unknown version is no reason to end", async (t) => {
  const broker = await FakeBroker.start({ version: 7 });
  const { log, lines } = keeper();
  const app = makeApp(broker, { log });
  t.after(async () => {
    await broker.stop();
    await app.close();
  });
  const outcome = app.connect();
  outcome.catch(() => {});

  await new Promise<void>((seen) => {
    const timer = setInterval(() => {
      if (lines.length > 0) {
        clearInterval(timer);
        seen();
      }
    }, 5);
  });

  assert.match(lines[0]?.[0] ?? "", /version/);
  await app.close();
  await assert.rejects(outcome, refusedWith("closed"));
});

test("endpoint added to a running app is declared", async (t) => {
  const { app, worker } = await connected(t, (app) => app.get("/0/a", (_req, res) => res.json(1)));

  app.get("/0/b", (_req, res) => res.json(2));
  app.get("/0/c", (_req, res) => res.json(3));

  await until(() => worker.declarations === 2);
  assert.deepEqual(
    worker.endpoints.map(({ endpoint }) => endpoint),
    ["GET /0/a", "GET /0/b", "GET /0/c", "OPTIONS /0/a", "OPTIONS /0/b", "OPTIONS /0/c"],
  );
});

test("key that is revoked later is logged, and the app stays", async (t) => {
  const { app, broker, lines } = await connected(t, () => {});
  broker.manners.refuse = "unauthenticated";

  (await broker.worker()).socket.destroy();

  await until(() => lines.some(([message]) => message.includes("refused")));
  assert.deepEqual(app.brokers, []);
});

test("what is missing or wrong is told by name", async () => {
  assert.throws(() => hera({ zk: "zk1:2181,zk2:2181/he ra" }), refusedWith("bad_option"));
  assert.throws(() => hera({ brokers: "hera://" }), refusedWith("bad_option"));
  assert.throws(() => hera({ brokers: "hera://a:99999" }), refusedWith("bad_option"));
  assert.throws(() => hera({ version: "a b" }), refusedWith("bad_option"));
  await assert.rejects(hera({ secret, signals: false }).connect(), refusedWith("bad_option"));
  await assert.rejects(hera({ brokers: "hera://a", signals: false }).connect(), refusedWith("bad_option"));
  await assert.rejects(hera({ brokers: "hera://a", secret: "x", signals: false }).connect(), refusedWith("bad_key"));
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((turn) => setImmediate(turn));
}

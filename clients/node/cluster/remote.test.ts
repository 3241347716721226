/** Workers that call each other, over real brokers. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, type TestContext, test } from "node:test";
import { type App, HeraError, hera } from "../src/index.js";
import { until } from "../test/zookeeper.js";
import { type Broker, start } from "./broker.js";

const MIB = 1_048_576;
const NAMES = ["gate", "orders", "users"] as const;
type Name = (typeof NAMES)[number] | "caller" | "stranger";

let folder = "";
let brokers: [Broker, Broker];
let token = "";
const secrets = {} as Record<Name, string>;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hera-remote-"));
  const data = join(folder, "a");
  const a = await start(data);
  for (const name of NAMES) {
    secrets[name] = a.cli("key", "create", "--name", name, "--serve", `/0/${name}/**`, "--call", "* /0/**");
  }
  secrets.caller = a.cli("key", "create", "--name", "caller", "--call", "* /0/**");
  secrets.stranger = a.cli("key", "create", "--name", "stranger", "--call", "GET /0/orders/**");
  token = a.cli("token", "create", "--name", "shop", "--allow", "* /0/**", "--label", "team=ads");
  cpSync(data, join(folder, "records"), { recursive: true, filter: (path) => !/\.(lock|tmp)$/.test(path) });
  brokers = [a, await another("b")];
});

after(async () => {
  await Promise.all(brokers.map(({ stop }) => stop("SIGKILL")));
  rmSync(folder, { recursive: true, maxRetries: 10 });
});

/** One more broker of the cluster: the same cluster key, and the same records. */
function another(name: string): Promise<Broker> {
  const data = join(folder, name);
  cpSync(join(folder, "records"), data, { recursive: true });
  return start(data);
}

/** A worker of this service, on these brokers. */
async function worker(t: TestContext, name: Name, define: (app: App) => void, on: Broker[] = brokers): Promise<App> {
  const app = hera({
    brokers: `hera://${on.map(({ workers }) => workers).join(",")}`,
    secret: secrets[name],
    signals: false,
    log: false,
    drainTimeout: 2_000,
  });
  t.after(() => app.close());
  define(app);
  await app.connect();
  await until(() => app.brokers.length === on.length);
  return app;
}

/** A program that serves nothing. */
function caller(t: TestContext, on?: Broker[]): Promise<App> {
  return worker(t, "caller", () => {}, on);
}

/** A call over HTTP, at the first broker. */
function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(brokers[0].url + path, { ...init, headers: { "hera-token": token, ...init.headers } });
}

async function failure(call: Promise<unknown>): Promise<HeraError> {
  const error = await call.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HeraError, String(error));
  return error;
}

test("request id, caller, trace and deadline travel three deep, and each knows which service calls it", async (t) => {
  await worker(t, "gate", (app) =>
    app.get("/0/gate/:id", async (req, res) => {
      const { body, worker } = await req.call(`GET /0/orders/${req.params.id}`, { query: { full: 1 } });
      res.json([{ id: req.id, caller: req.caller, worker }, ...(body as unknown[])]);
    }),
  );
  await worker(t, "orders", (app) =>
    app.get("/0/orders/:id", async (req, res) => {
      const { body, worker } = await req.call(`GET /0/users/${req.query.full}`);
      res.json([{ id: req.id, caller: req.caller, worker }, body]);
    }),
  );
  await worker(t, "users", (app) =>
    app.get("/0/users/:id", (req, res) => {
      const left = req.deadline.getTime() - Date.now();
      res.json({ id: req.id, caller: req.caller, params: req.params, left });
    }),
  );

  const reply = await get("/0/gate/7", { headers: { "x-request-id": "my-own", "hera-timeout": "4s" } });

  const [first, second, third] = (await reply.json()) as Record<string, Record<string, unknown>>[];
  const from = { token: "shop", labels: { team: "ads" }, ip: "127.0.0.1" };
  assert.deepEqual([first?.id, second?.id, third?.id], ["my-own", "my-own", "my-own"]);
  assert.deepEqual(first?.caller, from);
  assert.deepEqual(second?.caller, { ...from, service: "gate" });
  assert.deepEqual(third?.caller, { ...from, service: "orders" });
  assert.deepEqual(third?.params, { id: "1" });
  assert.match(String(first?.worker), /^orders\/0\//);
  assert.ok(Number(third?.left) > 2_000 && Number(third?.left) <= 4_001, String(third?.left));
});

test("a hundred at once from a program that serves nothing, over both brokers", async (t) => {
  await worker(t, "users", (app) => app.get("/0/users/:id", (req, res) => res.json({ id: req.params.id })));
  const app = await caller(t);

  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, id) => app.call<{ id: string }>(`GET /0/users/${id}`)),
  );

  assert.deepEqual(
    replies.map(({ body }) => body.id),
    Array.from({ length: 100 }, (_, id) => String(id)),
  );
  await app.close();
});

test("what a worker answers is a value; what the broker refuses is named, with the command that would allow it", async (t) => {
  await worker(t, "users", (app) => {
    app.get("/0/users/none", (_req, res) => res.status(404).json({ code: "gone" }));
    app.post("/0/users/one", (req, res) =>
      res
        .status(201)
        .type("text")
        .send(`got ${JSON.stringify(req.body)}`),
    );
    app.get("/0/users/throws", () => {
      throw new Error("secret");
    });
  });
  const app = await caller(t);

  const none = await app.call("GET /0/users/none");
  assert.deepEqual([none.status, none.body], [404, { code: "gone" }]);
  const made = await app.call("POST /0/users/one", { body: { a: [1] } });
  assert.deepEqual([made.status, made.body], [201, 'got {"a":[1]}']);
  const thrown = await failure(app.call("GET /0/users/throws"));
  assert.deepEqual([thrown.code, thrown.executed, thrown.status], ["handler_failed", "maybe", 500]);
  const unknown = await failure(app.call("GET /0/nobody"));
  assert.deepEqual([unknown.code, unknown.executed, unknown.status], ["not_found", "no", 404]);
  const method = await failure(app.call("DELETE /0/users/none"));
  assert.equal(method.code, "method_not_allowed");

  const stranger = await worker(t, "stranger", () => {});
  const forbidden = await failure(stranger.call("GET /0/users/none"));
  assert.deepEqual([forbidden.code, forbidden.executed, forbidden.status], ["forbidden", "no", 403]);
  assert.match(
    forbidden.message,
    /hera key update stranger --call 'GET \/0\/orders\/\*\*' --call 'GET \/0\/users\/none'/,
  );
});

test("call within itself is refused by name, and who called at the beginning is told of a loop", async (t) => {
  let seen: HeraError | undefined;
  await worker(t, "gate", (app) =>
    app.get("/0/gate/loop", async (req, res) => {
      const { status, body } = await req.call("GET /0/orders/loop");
      res.status(status).json(body);
    }),
  );
  await worker(t, "orders", (app) =>
    app.get("/0/orders/loop", async (req) => {
      seen = await failure(req.call("GET /0/gate/loop"));
      throw seen;
    }),
  );

  const reply = await get("/0/gate/loop");

  assert.deepEqual([seen?.code, seen?.executed, seen?.status], ["call_cycle", "no", 508]);
  assert.equal(reply.status, 508);
  assert.equal(((await reply.json()) as { code: string }).code, "call_failed");
});

test("caller that leaves stops the workers at the far end, three deep", async (t) => {
  let reached = false;
  let stopped = false;
  await worker(t, "gate", (app) =>
    app.get("/0/gate/a", async (req, res) => res.json(await req.call("GET /0/orders/a"))),
  );
  await worker(t, "orders", (app) =>
    app.get("/0/orders/a", async (req, res) => res.json(await req.call("GET /0/users/a"))),
  );
  await worker(t, "users", (app) =>
    app.get("/0/users/a", (req) => {
      reached = true;
      req.signal.addEventListener("abort", () => {
        stopped = true;
      });
    }),
  );
  const leave = new AbortController();
  const call = get("/0/gate/a", { signal: leave.signal }).catch(() => {});
  await until(() => reached);

  leave.abort();

  await until(() => stopped);
  await call;
});

test("deadline that passes at the far end is a 504 at every one before", async (t) => {
  let far: HeraError | undefined;
  await worker(t, "gate", (app) =>
    app.get("/0/gate/slow", async (req, res) => {
      far = await failure(req.call("GET /0/users/slow", { timeout: "100ms" }));
      await req.call("GET /0/users/slow");
      res.end();
    }),
  );
  await worker(t, "users", (app) => app.get("/0/users/slow", () => {}));

  const reply = await get("/0/gate/slow", { headers: { "hera-timeout": "400ms" } });

  assert.deepEqual([far?.code, far?.executed, far?.status], ["deadline_exceeded", "maybe", 504]);
  assert.equal(reply.status, 504);
});

test("ten megabytes stream both ways, through a worker between", async (t) => {
  await worker(t, "gate", (app) =>
    app.post("/0/gate/echo", { stream: true, bodyLimit: 100 * MIB }, async (req, res) => {
      const reply = await req.call("POST /0/users/echo", { body: req, headers: req.headers, stream: true });
      reply.body.pipe(res.status(reply.status));
    }),
  );
  await worker(t, "users", (app) =>
    app.post("/0/users/echo", { stream: true, bodyLimit: 100 * MIB }, (req, res) => {
      res.status(203);
      req.pipe(res);
    }),
  );
  const app = await caller(t);
  const pieces = Array.from({ length: 160 }, () => randomBytes(MIB / 16));
  const sum = createHash("sha256").update(Buffer.concat(pieces)).digest("hex");

  const streamed = await app.call("POST /0/gate/echo", { body: Readable.from(pieces), stream: true });
  const hash = createHash("sha256");
  for await (const piece of streamed.body) hash.update(piece as Buffer);
  const gathered = await app.call<Buffer>("POST /0/gate/echo", { body: Buffer.concat(pieces) });

  assert.deepEqual([streamed.status, hash.digest("hex")], [203, sum]);
  assert.equal(createHash("sha256").update(gathered.body).digest("hex"), sum);
});

test("worker that is on one broker alone is found by a caller that is on both", async (t) => {
  const define = (app: App): unknown => app.get("/0/users/here", (_req, res) => res.json("here"));
  // Both brokers know the endpoint from when it was served there.
  await (await worker(t, "users", define)).close();
  await worker(t, "users", define, [brokers[1]]);
  const app = await caller(t);

  for (let n = 0; n < 20; n++) assert.equal((await app.call("GET /0/users/here")).body, "here");

  const alone = await caller(t, [brokers[0]]);
  const { code, executed, retryAfter } = await failure(alone.call("GET /0/users/here"));
  assert.deepEqual([code, executed], ["no_worker", "no"]);
  assert.ok(retryAfter !== undefined);
});

test("broker that drains loses no call", async (t) => {
  const leaving = await another("draining");
  t.after(() => leaving.stop("SIGKILL"));
  const both = [brokers[0], leaving];
  await worker(t, "users", (app) => app.get("/0/users/x", (_req, res) => setTimeout(() => res.json(1), 5)), both);
  const app = await caller(t, both);
  let stopped = false;
  let made = 0;
  const loops = Array.from({ length: 20 }, async () => {
    while (!stopped) {
      assert.equal((await app.call("GET /0/users/x")).status, 200);
      made++;
    }
  });
  await until(() => made > 200);

  const gone = leaving.stop("SIGTERM");
  await until(() => app.brokers.length === 1);
  const before = made;
  await until(() => made > before + 200);
  stopped = true;

  await Promise.all([gone, ...loops]);
});

test("broker that is killed: each GET in flight is answered by the other, each POST is answered or may have run", async (t) => {
  const killed = await another("killed");
  const both = [brokers[0], killed];
  let running = 0;
  let go = false;
  await worker(
    t,
    "users",
    (app) =>
      app.all("/0/users/hold", async (_req, res) => {
        running++;
        await until(() => go);
        res.json("done");
      }),
    both,
  );
  const app = await caller(t, both);
  const gets = Array.from({ length: 20 }, () => app.call("GET /0/users/hold"));
  const posts = Array.from({ length: 20 }, () => app.call("POST /0/users/hold").catch((error: HeraError) => error));
  await until(() => running === 40);

  await killed.stop("SIGKILL");
  await until(() => running > 40);
  go = true;

  for (const { status, body } of await Promise.all(gets)) assert.deepEqual([status, body], [200, "done"]);
  const lost = (await Promise.all(posts)).filter((outcome) => outcome instanceof HeraError);
  assert.ok(lost.length > 0 && lost.length < 20, `${lost.length} of 20 were lost`);
  for (const { code, executed, status } of lost)
    assert.deepEqual([code, executed, status], ["broker_lost", "maybe", 502]);
});

/** A worker, real brokers, and a real ZooKeeper between them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { hera } from "../src/index.js";
import { nodeOf, TestZooKeeper, until, type Writer } from "../test/zookeeper.js";
import { type Broker, HERA, start } from "./broker.js";

let folder = "";
let zookeeper: TestZooKeeper;
let writer: Writer;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "hera-cluster-"));
  process.env.HERA_STATE_DIR = join(folder, "state");
  zookeeper = await TestZooKeeper.start();
  writer = await zookeeper.writer();
  await writer.create("/hera");
  await writer.create("/hera/brokers");
});

after(async () => {
  await zookeeper.stop();
  rmSync(folder, { recursive: true, maxRetries: 10 });
});

/** Its node in the list. */
function add({ id, workers }: Broker): Promise<void> {
  return writer.create(`/hera/brokers/${id}`, nodeOf(id, Number(workers.split(":").at(-1))), { ephemeral: true });
}

function remove({ id }: Broker): Promise<void> {
  return writer.remove(`/hera/brokers/${id}`);
}

interface Caller {
  /** Calls this one no more; resolves when no call of it is under way. */
  leave(broker: Broker): Promise<void>;
  stop(): Promise<{ calls: number; failures: string[] }>;
}

/** Calls each of `brokers` over and over; whatever is no 200 is kept. */
function caller(t: TestContext, brokers: Broker[]): Caller {
  const failures: string[] = [];
  let calls = 0;
  let rounds = 0;
  let stopped = false;
  t.after(() => {
    stopped = true;
  });
  const loop = (async () => {
    while (!stopped) {
      for (const { id, url } of [...brokers]) {
        calls++;
        const outcome = await status(url).catch((error: Error) => error.message);
        if (outcome !== 200) failures.push(`${id}: ${outcome}`);
      }
      rounds++;
    }
  })();
  return {
    async leave(broker) {
      brokers.splice(brokers.indexOf(broker), 1);
      // The round that goes on may still come to it.
      const next = rounds + 1;
      await until(() => rounds >= next);
    },
    async stop() {
      stopped = true;
      await loop;
      return { calls, failures };
    },
  };
}

async function status(url: string): Promise<number> {
  const answer = await fetch(`${url}/0/hello/ann`);
  await answer.arrayBuffer();
  return answer.status;
}

test("worker follows brokers that nodes are written for, through everything that comes and goes, and calls go on", async (t) => {
  const brokers: Broker[] = [];
  t.after(() => Promise.all(brokers.map(({ stop }) => stop("SIGKILL"))));
  const dirs = ["a", "b", "c", "d"].map((name) => join(folder, name)) as [string, string, string, string];
  const a = await start(dirs[0]);
  brokers.push(a);
  const secret = a.cli("key", "create", "--name", "hello", "--serve", "/0/hello/**");
  a.cli("token", "create", "--anonymous", "--allow", "GET /0/**");
  // Brokers of one cluster: the same cluster key, and the same records.
  for (const dir of dirs.slice(1)) cpSync(dirs[0], dir, { recursive: true, filter: (path) => !path.endsWith(".lock") });
  const b = await start(dirs[1]);
  brokers.push(b);
  await add(a);
  await add(b);
  const app = hera({ zk: `127.0.0.1:${zookeeper.port}/hera`, secret, signals: false, log: false });
  t.after(() => app.close());
  app.get("/0/hello/:name", (req, res) => res.json({ hello: req.params.name }));

  await app.connect();
  await until(() => app.brokers.length === 2);
  assert.deepEqual(app.brokers.sort(), [a.id, b.id].sort());
  const called = [a, b];
  const calls = caller(t, called);

  const c = await start(dirs[2]);
  brokers.push(c);
  assert.notEqual(await status(c.url), 200);
  await add(c);
  await until(async () => (await status(c.url)) === 200);
  called.push(c);

  // Off the list, a broker is served on until it goes; it goes as a broker does that drains.
  await remove(b);
  assert.equal(await status(b.url), 200);
  await calls.leave(b);
  await b.stop("SIGTERM");
  await until(() => app.brokers.length === 2);

  // With no list to be had, the worker goes on, and dials again who was killed.
  await zookeeper.down();
  await calls.leave(a);
  await a.stop("SIGKILL");
  await until(() => app.brokers.length === 1);
  await zookeeper.up();
  writer = await zookeeper.writer();
  const d = await start(dirs[3]);
  brokers.push(d);
  await add(d);
  await until(async () => (await status(d.url)) === 200);
  called.push(d);

  const { calls: made, failures } = await calls.stop();
  assert.deepEqual(failures, []);
  assert.ok(made > 100, `${made} calls`);
});

test("worker finds brokers that register themselves, and outlives each of them", async (t) => {
  const brokers: Broker[] = [];
  t.after(() => Promise.all(brokers.map(({ stop }) => stop("SIGKILL"))));
  const registry = [
    "--registry",
    `zk://127.0.0.1:${zookeeper.port}/cluster`,
    "--cluster-key",
    join(folder, "cluster.key"),
  ];
  const cli = (...args: string[]): string =>
    execFileSync(HERA, [...args, ...registry], { stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  cli("cluster", "init");
  const secret = cli("key", "create", "--name", "hello", "--serve", "/0/hello/**");
  cli("token", "create", "--anonymous", "--allow", "GET /0/**");
  const app = hera({ zk: registry[1], secret, signals: false, log: false });
  t.after(() => app.close());
  app.get("/0/hello/:name", (req, res) => res.json({ hello: req.params.name }));
  const connected = app.connect();

  const a = await start(join(folder, "r1"), ...registry);
  brokers.push(a);
  await connected;
  const b = await start(join(folder, "r2"), ...registry);
  brokers.push(b);
  await until(() => app.brokers.length === 2);
  await until(async () => (await status(a.url)) === 200 && (await status(b.url)) === 200);
  const calls = caller(t, [b]);

  await a.stop("SIGTERM");
  await until(() => app.brokers.length === 1);
  const again = await start(join(folder, "r1"), ...registry);
  brokers.push(again);
  await until(() => app.brokers.length === 2);

  assert.deepEqual(app.brokers.sort(), [again.id, b.id].sort());
  const { failures } = await calls.stop();
  assert.deepEqual(failures, []);
});

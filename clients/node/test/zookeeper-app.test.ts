/** Apps that find their brokers through a real ZooKeeper; the brokers are stand-ins. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { App } from "../src/app.js";
import { hera, type Options } from "../src/index.js";
import { FakeBroker, type Manners, secret } from "./fake-broker.js";
import { keeper } from "./fixture.js";
import { nodeOf, TestZooKeeper, until, type Writer } from "./zookeeper.js";

let zookeeper: TestZooKeeper;
let writer: Writer;
let zk = "";
let chroot = "";
let count = 0;
let folder = "";

before(async () => {
  zookeeper = await TestZooKeeper.start();
  folder = mkdtempSync(join(tmpdir(), "hera-app-"));
  mkdirSync(join(folder, "node_modules"));
  // Once, and not for each copy: one that starts while it is written again would run half of it.
  writeFileSync(join(folder, "worker.mjs"), WORKER);
  symlinkSync(fileURLToPath(new URL("../../", import.meta.url)), join(folder, "node_modules", "hera-client"));
});

after(async () => {
  await zookeeper.stop();
  await rm(folder, { recursive: true, maxRetries: 10 });
});

beforeEach(async () => {
  chroot = `/test-${++count}`;
  zk = `127.0.0.1:${zookeeper.port}${chroot}`;
  process.env.HERA_STATE_DIR = join(folder, `state-${count}`);
  writer = await zookeeper.writer();
  await writer.create(chroot);
  await writer.create(`${chroot}/brokers`);
});

async function broker(t: TestContext, id: string, manners: Manners = {}): Promise<FakeBroker> {
  const broker = await FakeBroker.start({ id, ...manners });
  t.after(() => broker.stop());
  return broker;
}

function add(id: string, { port }: { port: number }): Promise<void> {
  return writer.create(`${chroot}/brokers/${id}`, nodeOf(id, port));
}

function makeApp(t: TestContext, options: Options = {}): App {
  const app = hera({ zk, secret, signals: false, log: false, drainTimeout: 2_000, ...options });
  t.after(() => app.close());
  app.get("/0/a", (_req, res) => res.json(1));
  return app;
}

/** Sessions that the server knows of. */
async function sessions(): Promise<string[]> {
  return (await zookeeper.ask("cons")).match(/sid=0x[0-9a-f]+/g)?.sort() ?? [];
}

test("connect resolves when a broker of the list accepted, and brokers come and go after that", async (t) => {
  const [a, b, c] = [await broker(t, "b-a"), await broker(t, "b-b"), await broker(t, "b-c")];
  await add("b-a", a);
  await add("b-b", b);
  const app = makeApp(t);

  await app.connect();
  await until(() => app.brokers.length === 2);
  await add("b-c", c);
  await until(() => app.brokers.length === 3);
  await writer.remove(`${chroot}/brokers/b-a`);
  await a.stop();

  await until(() => app.brokers.length === 2);
  assert.deepEqual(app.brokers.sort(), ["b-b", "b-c"]);
  assert.equal((await (await c.worker()).ask("GET /0/a")).message.result.status, 200);
});

test("connect waits for a list that names nobody yet", async (t) => {
  const { log, lines } = keeper();
  const app = makeApp(t, { log });
  let connected = false;
  const done = app.connect(() => {
    connected = true;
  });
  await until(() => lines.some(([line]) => line.includes("no broker is listed")));
  assert.equal(connected, false);

  const a = await broker(t, "b-a");
  await add("b-a", a);

  await done;
});

test("refused key rejects, and ends the reader", async (t) => {
  const a = await broker(t, "b-a", { refuse: "unauthenticated" });
  await add("b-a", a);

  const before = await sessions();

  await assert.rejects(makeApp(t).connect(), { code: "unauthenticated" });

  await until(async () => (await sessions()).length === before.length);
});

test("app that is closed dials nobody any more, and can connect again", async (t) => {
  const a = await broker(t, "b-a");
  await add("b-a", a);
  const app = makeApp(t);
  const before = await sessions();
  await app.connect();

  assert.equal((await sessions()).length, before.length + 1);
  await app.close();
  assert.deepEqual(await sessions(), before);
  await app.connect();

  assert.deepEqual(app.brokers, ["b-a"]);
  assert.equal(a.accepted, 2);
});

test("app that closes while zookeeper is away rejects its connect", async (t) => {
  const app = makeApp(t, { zk: "127.0.0.1:1" });
  const outcome = assert.rejects(app.connect(), { code: "closed" });
  await app.close();
  await outcome;
});

test("string that is no string of brokers is refused when the app is made", () => {
  assert.throws(() => hera({ zk: "zk://a/../b" }), { code: "bad_option" });
});

const WORKER = `
import hera from "hera-client";
const app = hera({ log: false });
app.get("/0/pid", (req, res) => res.json(process.pid));
process.on("SIGUSR2", async () => { await app.close(); console.log("closed"); });
await app.connect();
console.log("connected");
`;

/** Waits for the line by which a worker says that it serves. */
async function connected(child: ChildProcess): Promise<void> {
  let said = false;
  child.stdout?.once("data", () => {
    said = true;
  });
  await until(() => said);
}

function worker(t: TestContext): ChildProcess {
  const child = spawn(process.execPath, [join(folder, "worker.mjs")], {
    env: { PATH: process.env.PATH, HERA: zk, SECRET: secret, HERA_STATE_DIR: process.env.HERA_STATE_DIR },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

test("closed worker ends by itself, and a signalled one at once", async (t) => {
  const a = await broker(t, "b-a");
  await add("b-a", a);
  for (const signal of ["SIGUSR2", "SIGTERM"] as const) {
    const child = worker(t);
    await connected(child);
    const exited = once(child, "exit");

    child.kill(signal);

    assert.deepEqual(await exited, [0, null]);
  }
});

test("ten copies of a worker share a saved list, serve on without zookeeper, and start without it", async (t) => {
  const a = await broker(t, "b-a");
  await add("b-a", a);
  const first = Array.from({ length: 10 }, () => worker(t));
  await Promise.all(first.map(connected));
  const stateDir = process.env.HERA_STATE_DIR as string;
  await until(
    () => readdirSync(stateDir).length === 1 && /^brokers-[0-9a-f]{16}\.json$/.test(readdirSync(stateDir)[0] ?? ""),
  );

  await zookeeper.down();
  t.after(() => zookeeper.up());
  for (let i = 0; i < 10; i++) assert.equal((await (await a.worker(i)).ask("GET /0/pid")).message.result.status, 200);
  const exited = Promise.all(first.map((child) => once(child, "exit")));
  for (const child of first) child.kill("SIGTERM");
  await exited;
  const second = Array.from({ length: 10 }, () => worker(t));

  const pids = new Set<string>();
  for (let i = 10; i < 20; i++) pids.add((await (await a.worker(i)).ask("GET /0/pid")).attachment.toString());
  assert.deepEqual([...pids].sort(), second.map(({ pid }) => String(pid)).sort());
  assert.equal(readdirSync(stateDir).length, 1);
});

test("folder that cannot be written is told once, and the app serves", async (t) => {
  process.env.HERA_STATE_DIR = "/proc/none";
  const a = await broker(t, "b-a");
  await add("b-a", a);
  const { log, lines } = keeper();
  const app = makeApp(t, { log });

  await app.connect();
  await until(() => lines.length > 0);
  await add("b-b", await broker(t, "b-b"));
  await until(() => app.brokers.length === 2);

  assert.equal(lines.length, 1);
  assert.match(lines[0]?.[0] ?? "", /HERA_STATE_DIR/);
});

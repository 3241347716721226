import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { HeraError } from "../src/errors.js";
import { Link } from "../src/link.js";
import { FakeBroker } from "./fake-broker.js";
import { connected, linkHost, makeApp } from "./fixture.js";

function resources(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind !== "Immediate").length;
}

test("ten thousand failed attempts leave nothing behind", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const before = resources();
  const sockets: Socket[] = [];
  const link = new Link({ host: "x", port: 1, tls: false }, linkHost(), new Backoff(1, 1, () => 1), () => {
    const socket = new Socket();
    sockets.push(socket);
    process.nextTick(() => socket.destroy(new Error("refused")));
    return socket;
  });

  link.start();
  for (let turns = 0; sockets.length < 10_000; turns++) {
    assert.ok(turns < 50_000, `${sockets.length} attempts only`);
    await new Promise((turn) => setImmediate(turn));
    t.mock.timers.tick(1);
  }
  link.stop(new HeraError("closed", "over"));
  await new Promise((turn) => setImmediate(turn));
  t.mock.timers.tick(60_000);
  await new Promise((turn) => setImmediate(turn));

  assert.equal(sockets.length, 10_000);
  assert.ok(sockets.every((socket) => socket.destroyed));
  assert.ok(resources() <= before);
});

test("hundreds of sessions that end leave no listener, timer or socket", async () => {
  const broker = await FakeBroker.start();
  const shared = linkHost();
  shared.clock.start();
  const link = new Link({ host: "127.0.0.1", port: broker.port, tls: false }, shared, new Backoff(0, 0));
  link.start();
  for (let i = 0; i < 10; i++) (await broker.worker(i)).socket.destroy();
  const before = resources();

  for (let i = 10; i < 300; i++) (await broker.worker(i)).socket.destroy();

  assert.ok(resources() <= before + 6, `${resources()} resources, ${before} before`);
  link.stop(new HeraError("closed", "over"));
  shared.clock.stop();
  await broker.stop();
});

test("closed app leaves nothing that keeps the process alive", async (t) => {
  const before = resources();
  const { app, broker } = await connected(t, (app) => app.get("/0/a", () => {}), { signals: true });
  assert.ok(process.listenerCount("SIGTERM") >= 1);

  await app.close();
  await broker.stop();
  while (resources() > before) await new Promise((turn) => setImmediate(turn));

  assert.equal(process.listenerCount("SIGTERM"), 0);
});

test("closed app can connect again", async (t) => {
  const { app, broker } = await connected(t, (app) => app.get("/0/a", (_req, res) => res.json(1)));
  await app.close();

  await app.connect();

  assert.equal((await (await broker.worker(1)).ask("GET /0/a")).message.result.status, 200);
});

test("app that closes while it dials rejects its connect", async () => {
  const app = makeApp({ url: "hera://127.0.0.1:1" });
  const outcome = assert.rejects(app.connect(), { code: "closed" });

  await app.close();

  await outcome;
});

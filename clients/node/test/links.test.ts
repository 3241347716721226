import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Broker } from "../src/discovery.js";
import { HeraError } from "../src/errors.js";
import { Links } from "../src/links.js";
import { FakeBroker, type Manners } from "./fake-broker.js";
import { linkHost } from "./fixture.js";
import { freePort, until } from "./zookeeper.js";

function makeLinks(t: TestContext): Links {
  const host = linkHost();
  host.clock.start();
  const links = new Links(host);
  t.after(() => {
    links.stop(new HeraError("closed", "over"));
    host.clock.stop();
  });
  return links;
}

async function broker(t: TestContext, id: string, manners: Manners = {}, port = 0): Promise<FakeBroker> {
  const broker = await FakeBroker.start({ id, ...manners }, port);
  t.after(() => broker.stop());
  return broker;
}

function at(id: string, { port }: { port: number }): Broker {
  return { id, address: { host: "127.0.0.1", port, tls: false } };
}

function live(links: Links): string[] {
  return links.sessions.filter(({ isLive }) => isLive).map((session) => session.broker);
}

test("broker that is new is dialled, and those that stay are left alone", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "a"), await broker(t, "b")];
  links.follow([at("a", a)]);
  await a.worker();

  links.follow([at("a", a), at("b", b)]);
  await b.worker();
  links.follow([at("b", b), at("a", a)]);

  await until(() => live(links).length === 2);
  assert.deepEqual([a.accepted, b.accepted], [1, 1]);
});

test("broker that is gone from the list is kept while its connection lives, and not dialled again", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "a"), await broker(t, "b")];
  links.follow([at("a", a), at("b", b)]);
  const worker = await a.worker();
  await b.worker();
  await until(() => live(links).length === 2);

  links.follow([at("b", b)]);
  worker.send({ id: 77, method: "ping" });
  await worker.response(77);
  worker.socket.destroy();
  await until(() => links.sessions.length === 1);
  // Whoever is dialled again is back first: it was lost later.
  (await b.worker()).socket.destroy();
  await b.worker(1);

  assert.equal(a.accepted, 1);
});

test("broker that is gone before it answered is left at once", async (t) => {
  const links = makeLinks(t);
  const [mute, b] = [await broker(t, "a", { mute: true }), await broker(t, "b")];
  links.follow([at("a", mute), at("b", b)]);
  await mute.attempts(1);
  await until(() => links.sessions.length === 2);

  links.follow([at("b", b)]);

  await until(() => links.sessions.length === 1);
  assert.equal(mute.accepted, 1);
});

test("broker that is listed again before its connection ended is dialled again when it ends", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "a"), await broker(t, "b")];
  links.follow([at("a", a), at("b", b)]);
  await until(() => live(links).length === 2);

  links.follow([at("b", b)]);
  links.follow([at("a", a), at("b", b)]);
  (await a.worker()).socket.destroy();

  await a.worker(1);
});

test("connection moves on to a new address of its broker, and the old one drains", async (t) => {
  const links = makeLinks(t);
  const [before, behind] = [await broker(t, "a"), await broker(t, "a")];
  links.follow([at("a", before)]);
  const worker = await before.worker();
  await until(() => live(links).length === 1);

  links.follow([at("a", behind)]);

  await behind.worker();
  await worker.until(({ message }) => message.method === "drain");
  await worker.gone();
  await until(() => links.sessions.length === 1);
  assert.deepEqual(live(links), ["a"]);
});

test("connection stays where the new address does not answer", async (t) => {
  const links = makeLinks(t);
  const a = await broker(t, "a");
  links.follow([at("a", a)]);
  const worker = await a.worker();
  await until(() => live(links).length === 1);
  const port = await freePort();

  links.follow([at("a", { port })]);
  worker.send({ id: 77, method: "ping" });
  await worker.response(77);
  assert.deepEqual(live(links), ["a"]);
  const late = await broker(t, "a", {}, port);

  await late.worker();
  await worker.gone();
});

test("broker that started anew at the same address under another id is dialled at once", async (t) => {
  const links = makeLinks(t);
  const port = await freePort();
  links.follow([at("old", { port })]);
  const old = await broker(t, "old", {}, port);
  const worker = await old.worker();
  await until(() => live(links).length === 1);
  const other = await broker(t, "other");

  // The list tells of it before the end of the old connection does.
  links.follow([at("new", { port }), at("other", other)]);
  old.manners.id = "new";
  await old.worker(1);
  await other.worker();

  await until(() => live(links).includes("new"));
  assert.equal(worker.closed, false);
  worker.socket.destroy();
  await until(() => links.sessions.length === 2);
  assert.equal(old.accepted, 2);
});

test("broker that was reached under its new id before the list told of it has one connection", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "new"), await broker(t, "b")];
  links.follow([at("old", a)]);
  await until(() => live(links).length === 1);

  links.follow([at("new", a), at("b", b)]);
  await b.worker();

  assert.equal(a.accepted, 1);
});

test("two brokers of one address are one", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "a"), await broker(t, "b")];
  links.follow([at("a", a), at("a-2", a), at("b", b)]);

  await until(() => live(links).length === 2);
  assert.equal(a.accepted, 1);
});

test("list is not heard once the links drain", async (t) => {
  const links = makeLinks(t);
  const [a, b] = [await broker(t, "a"), await broker(t, "b")];
  links.follow([at("a", a)]);
  await until(() => live(links).length === 1);

  const drained = links.drain();
  links.follow([at("a", a), at("b", b)]);
  await drained;

  assert.deepEqual([a.accepted, b.accepted, links.sessions], [1, 0, []]);
});

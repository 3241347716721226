/** Discovery against a real ZooKeeper. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, type TestContext, test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { type Broker, ZooKeeperDiscovery } from "../src/discovery.js";
import { parseSource } from "../src/source.js";
import { keeper } from "./fixture.js";
import { freePort, nodeOf, TestZooKeeper, until, type Writer } from "./zookeeper.js";

let zookeeper: TestZooKeeper;
let writer: Writer;
/** Each test lives in a chroot of its own. */
let chroot = "";
let count = 0;

before(async () => {
  zookeeper = await TestZooKeeper.start();
});

after(() => zookeeper.stop());

beforeEach(async () => {
  chroot = `/test-${++count}`;
  writer = await zookeeper.writer();
  await writer.create(chroot);
  await writer.create(`${chroot}/brokers`);
});

interface Following {
  discovery: ZooKeeperDiscovery;
  /** The list, each time that it was told. */
  lists: Broker[][];
  lines: [string, unknown?][];
  stateDir: string;
  /** Waits until the last list has these ids. */
  ids(...ids: string[]): Promise<void>;
}

function follow(
  t: TestContext,
  { servers = `127.0.0.1:${zookeeper.port}`, listEveryMs = 60_000, stateDir = temporary(t), random = Math.random } = {},
): Following {
  const { log, lines } = keeper();
  const source = parseSource(`zk://${servers}${chroot}`);
  assert.ok("zookeeper" in source);
  const lists: Broker[][] = [];
  const discovery = new ZooKeeperDiscovery(source.zookeeper, { stateDir, log }, (brokers) => lists.push(brokers), {
    listEveryMs,
    random,
    backoff: new Backoff(10, 100),
  });
  discovery.start();
  t.after(() => discovery.end());
  const ids = (...ids: string[]): Promise<void> =>
    until(() => JSON.stringify(lists.at(-1)?.map(({ id }) => id)) === JSON.stringify(ids));
  return { discovery, lists, lines, stateDir, ids };
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hera-state-"));
  // A list may be being saved just now: the one that waits must not hold up the one that writes.
  t.after(() => rm(folder, { recursive: true, maxRetries: 10 }));
  return folder;
}

function add(id: string, data = nodeOf(id, 4372)): Promise<void> {
  return writer.create(`${chroot}/brokers/${id}`, data);
}

test("list is read in the order of ids, and followed as brokers come and go", async (t) => {
  await add("b-2", nodeOf("b-2", 4002, { address: "10.0.0.2", protocols: ["hera/1+tcp", "hera/1+tls"] }));
  await add("b-1");

  const { lists, ids } = follow(t);

  await ids("b-1", "b-2");
  assert.deepEqual(lists.at(-1), [
    { id: "b-1", address: { host: "127.0.0.1", port: 4372, tls: false } },
    { id: "b-2", address: { host: "10.0.0.2", port: 4002, tls: true } },
  ]);
  await add("b-3");
  await ids("b-1", "b-2", "b-3");
  await writer.remove(`${chroot}/brokers/b-2`);
  await ids("b-1", "b-3");
});

test("broker that is written again has its new address, also where nothing but its data changed", async (t) => {
  await add("b-1");
  const { lists, ids } = follow(t, { listEveryMs: 100 });
  await ids("b-1");
  const port = (): number | undefined => lists.at(-1)?.[0]?.address.port;

  await writer.set(`${chroot}/brokers/b-1`, nodeOf("b-1", 5001));
  await until(() => port() === 5001);
  await writer.remove(`${chroot}/brokers/b-1`);
  await add("b-1", nodeOf("b-1", 5002));
  await until(() => port() === 5002);
});

test("nodes that are no brokers are skipped, and told by name", async (t) => {
  await add("b-good");
  await add("b-text", "no json");
  await add("b-fat", nodeOf("b-fat", 1, { pad: "x".repeat(1_000_000) }));
  await add("b-other", nodeOf("b-else", 1));
  await add("b-udp", nodeOf("b-udp", 1, { protocols: ["hera/9+udp"] }));
  await add("b-empty", "");
  await add("Ünfit");
  await writer.create(`${chroot}/brokers/b-closed`, nodeOf("b-closed", 1), { closed: true });

  const { ids, lines } = follow(t);

  await ids("b-good");
  await until(() => lines.length > 0);
  assert.match(lines[0]?.[0] ?? "", /^zookeeper: 7 nodes were skipped/);
  await writer.remove(`${chroot}/brokers/b-text`);
  await until(() => lines.length > 1);
  assert.match(lines[1]?.[0] ?? "", /6 nodes were skipped: .*b-closed \(unreadable\), b-empty \(bad_json\)/);
});

test("of ten thousand brokers the first 64 are dialled", async (t) => {
  const names = Array.from({ length: 10_000 }, (_, i) => `b-${String(i).padStart(5, "0")}`);
  await Promise.all(names.map((id) => add(id)));

  const { ids, lines } = follow(t);

  await ids(...names.slice(0, 64));
  assert.match(lines[0]?.[0] ?? "", /9936 nodes were left/);
});

test("good broker behind thousands of garbage nodes is found", async (t) => {
  await Promise.all(Array.from({ length: 3_000 }, (_, i) => add(`a-${i}`, "{")));
  await add("b-good");

  await follow(t).ids("b-good");
});

test("empty list, and none, change nothing", async (t) => {
  await add("b-1");
  const { lists, ids, lines, stateDir } = follow(t);
  await ids("b-1");
  await until(() => readdirSync(stateDir).length === 1);

  await writer.remove(`${chroot}/brokers/b-1`);
  await until(() => lines.length === 1);
  await writer.remove(`${chroot}/brokers`);
  await writer.create(`${chroot}/brokers`);
  await add("b-2");
  await ids("b-2");

  assert.ok(lists.every((list) => list.length === 1));
});

test("list that is not there yet is followed once it is made", async (t) => {
  await writer.remove(`${chroot}/brokers`);
  const { ids, lines } = follow(t);
  await until(() => lines.length === 1);

  await writer.create(`${chroot}/brokers`);
  await add("b-1");

  await ids("b-1");
});

test("list that may not be read is told", async (t) => {
  await writer.remove(`${chroot}/brokers`);
  await writer.create(`${chroot}/brokers`, "", { closed: true });

  const { lists, lines } = follow(t);

  await until(() => lines.length > 0);
  assert.match(lines[0]?.[0] ?? "", /not authorised/);
  assert.deepEqual(lists, []);
});

test("server that was killed and came back is followed again, and what changed meanwhile is seen", async (t) => {
  await add("b-1");
  const { ids, discovery } = follow(t);
  await ids("b-1");
  const { id } = discovery.session.identity;

  await zookeeper.down();
  await zookeeper.up();
  writer = await zookeeper.writer();
  await add("b-2");

  await ids("b-1", "b-2");
  assert.equal(discovery.session.identity.id, id, "the session goes on");
});

test("server that says nothing any more is left for another one, and the session goes on there", async (t) => {
  await add("b-1");
  const [first, second] = [await relay(t), await relay(t)];
  const servers = `127.0.0.1:${first.port},127.0.0.1:${second.port}`;
  const { ids, discovery, lines } = follow(t, { servers, random: () => 0 });
  await ids("b-1");
  const { id } = discovery.session.identity;
  assert.deepEqual([first.accepted, second.accepted], [1, 0]);

  first.frozen = true;
  await add("b-2");

  await ids("b-1", "b-2");
  assert.equal(discovery.session.identity.id, id);
  assert.match(lines[0]?.[0] ?? "", /did not answer in 3333 ms/);
  assert.deepEqual([first.accepted, second.accepted], [1, 1]);
});

test("servers that are away, refuse, or have no name are passed over", async (t) => {
  await add("b-1");
  const servers = `127.0.0.1:${await freePort()},no-such-host.invalid,127.0.0.1:${zookeeper.port}`;
  await follow(t, { servers, random: () => 0 }).ids("b-1");
});

test("session that has expired is followed by a new one", async (t) => {
  await add("b-1");
  const { ids, discovery } = follow(t);
  await ids("b-1");
  const { identity } = discovery.session;

  // The worker may take its session back before the thief has ended it.
  await until(async () => {
    if (discovery.session.identity.id !== identity.id) return true;
    await zookeeper.writer(identity).then(
      (thief) => thief.end(),
      () => undefined,
    );
    return false;
  });
  await add("b-2");

  await ids("b-1", "b-2");
});

test("servers that were wiped are followed again, though they count transactions from the start", async (t) => {
  await add("b-1");
  const { ids } = follow(t);
  await ids("b-1");

  await zookeeper.down();
  zookeeper.wipe();
  await zookeeper.up();
  writer = await zookeeper.writer();
  await writer.create(chroot);
  await writer.create(`${chroot}/brokers`);
  await add("b-2");

  await ids("b-2");
});

test("idle session is kept by pings", async (t) => {
  await add("b-1");
  const { ids, discovery, lines } = follow(t);
  await ids("b-1");
  const { id } = discovery.session.identity;

  // Three pings at a third of ten seconds: without them the server would have ended the session by then.
  const received = async (): Promise<number> => {
    const connections = await zookeeper.ask("cons");
    const mine = connections.split("\n").find((line) => line.includes(`sid=0x${id.toString(16)}`));
    assert.ok(mine, "the server has no such session");
    return Number(/recved=(\d+)/.exec(mine)?.[1]);
  };
  const first = await received();
  await until(async () => (await received()) >= first + 3);

  assert.equal(discovery.session.identity.id, id);
  assert.deepEqual(lines, []);
});

test("end of the discovery closes the session", async (t) => {
  await add("b-1");
  const { ids, discovery } = follow(t);
  await ids("b-1");
  const sid = `0x${discovery.session.identity.id.toString(16)}`;
  assert.ok((await zookeeper.ask("cons")).includes(sid));

  await discovery.end();

  assert.ok(!(await zookeeper.ask("cons")).includes(sid));
  assert.ok(!(await zookeeper.ask("dump")).includes(sid));
});

test("list is saved when it changes, and is what a start without zookeeper finds", async (t) => {
  await add("b-1");
  const first = follow(t);
  await first.ids("b-1");
  await add("b-2");
  await first.ids("b-1", "b-2");
  await first.discovery.end();
  const [file] = readdirSync(first.stateDir);
  const saved = JSON.parse(readFileSync(join(first.stateDir, file as string), "utf8"));
  assert.deepEqual(saved.brokers[1], { id: "b-2", address: "127.0.0.1", port: 4372, protocols: ["hera/1+tcp"] });

  await zookeeper.down();
  const second = follow(t, { stateDir: first.stateDir });
  await second.ids("b-1", "b-2");
  await zookeeper.up();
  writer = await zookeeper.writer();
  await add("b-3");

  await second.ids("b-1", "b-2", "b-3");
});

interface Relay {
  port: number;
  accepted: number;
  /** Takes no byte further while this is set. */
  frozen: boolean;
}

/** Stands for one more server of the same ensemble. */
async function relay(t: TestContext): Promise<Relay> {
  const relay: Relay = { port: 0, accepted: 0, frozen: false };
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    relay.accepted++;
    const outer = connect(zookeeper.port, "127.0.0.1");
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on("data", (bytes) => relay.frozen || to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => relay.frozen || to.destroy());
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  relay.port = (server.address() as AddressInfo).port;
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return relay;
}

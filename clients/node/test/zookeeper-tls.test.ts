/** Discovery over TLS, with a real ZooKeeper's secure port. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { type Broker, ZooKeeperDiscovery } from "../src/discovery.js";
import { parseSource } from "../src/source.js";
import { keeper } from "./fixture.js";
import { nodeOf, TestZooKeeper, testTls, until } from "./zookeeper.js";

let zookeeper: TestZooKeeper;

before(async () => {
  zookeeper = await TestZooKeeper.start({ tls: testTls });
  const writer = await zookeeper.writer();
  await writer.create("/brokers");
  await writer.create("/brokers/b-1", nodeOf("b-1", 4372, { protocols: ["hera/1+tls"] }));
  await writer.end();
});

after(() => zookeeper.stop());

function follow(t: TestContext, text: string, ca?: string): { lists: Broker[][]; lines: [string, unknown?][] } {
  const { log, lines } = keeper();
  const lists: Broker[][] = [];
  const source = parseSource(text);
  assert.ok("zookeeper" in source);
  const discovery = new ZooKeeperDiscovery(
    source.zookeeper,
    { stateDir: undefined, log, ca },
    (brokers) => lists.push(brokers),
    { backoff: new Backoff(1, 20) },
  );
  discovery.start();
  t.after(() => discovery.end());
  return { lists, lines };
}

test("list is read and followed over TLS", async (t) => {
  const { lists } = follow(t, `zks://127.0.0.1:${zookeeper.tlsPort}`, testTls.cert);
  await until(() => lists.length === 1);
  assert.deepEqual(lists[0], [{ id: "b-1", address: { host: "127.0.0.1", port: 4372, tls: true } }]);

  const writer = await zookeeper.writer();
  await writer.create("/brokers/b-2", nodeOf("b-2", 4372));
  await until(() => lists.at(-1)?.length === 1 + 1);
  await writer.end();
});

test("server whose certificate nobody vouches for is not believed", async (t) => {
  const { lists, lines } = follow(t, `zks://127.0.0.1:${zookeeper.tlsPort}`);
  await until(() => lines.length > 0);
  assert.match(lines[0]?.[0] ?? "", /self-signed|unable to verify/);
  assert.deepEqual(lists, []);
});

test("plain string to a secure port, and zks to a plain one, find nothing", async (t) => {
  for (const text of [`zk://127.0.0.1:${zookeeper.tlsPort}`, `zks://127.0.0.1:${zookeeper.port}`]) {
    const { lists, lines } = follow(t, text, testTls.cert);
    await until(() => lines.length > 0);
    assert.match(lines[0]?.[0] ?? "", /until zookeeper answers/);
    assert.deepEqual(lists, []);
  }
});

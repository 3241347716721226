/** What a ZooKeeper server must not do, and what the reader makes of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { type Broker, ZooKeeperDiscovery } from "../src/discovery.js";
import { FRAME_BYTES_MAX, FrameCutter } from "../src/zookeeper/frames.js";
import { JuteReader, JuteWriter } from "../src/zookeeper/jute.js";
import { keeper } from "./fixture.js";
import { nodeOf, until } from "./zookeeper.js";

/** Answers one request: the frame's body behind the length, or nothing. */
type Answer = (request: JuteReader, socket: Socket) => Buffer | undefined;

interface Fake {
  port: number;
  /** Connections that were accepted. */
  accepted: number;
  /** One after the other; the last one goes on for ever. */
  answers: Answer[];
}

/** A server that answers each frame by the next of `answers`, and writes `step` bytes at a time. */
async function fake(t: TestContext, answers: Answer[], step = 1 << 20): Promise<Fake> {
  const sockets = new Set<Socket>();
  const fake: Fake = { port: 0, accepted: 0, answers };
  const server = createServer((socket) => {
    fake.accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.setNoDelay(true);
    let queue = Promise.resolve();
    const cutter = new FrameCutter();
    socket.on("data", (bytes: Buffer) => {
      cutter.push(bytes, (frame) => {
        const answer = fake.answers.length > 1 ? fake.answers.shift() : fake.answers[0];
        const body = answer?.(new JuteReader(frame), socket);
        if (body) queue = queue.then(() => dribble(socket, body, step));
        return true;
      });
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  fake.port = (server.address() as AddressInfo).port;
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return fake;
}

async function dribble(socket: Socket, bytes: Buffer, step: number): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += step) {
    socket.write(bytes.subarray(at, at + step));
    await new Promise((turn) => setImmediate(turn));
  }
}

const password = Buffer.alloc(16, 7);

function granted(timeoutMs = 10_000, id = 5n): Buffer {
  return new JuteWriter().int(0).int(timeoutMs).long(id).buffer(password).bool(false).frame();
}

function reply(xid: number, error = 0): JuteWriter {
  return new JuteWriter().int(xid).long(1n).int(error);
}

function stat(writer: JuteWriter, dataLength: number): JuteWriter {
  return writer.long(1n).long(1n).long(0n).long(0n).int(0).int(0).int(0).long(0n).int(dataLength).int(0).long(1n);
}

/** A good server of one broker. */
const good: Answer = (request) => {
  const first = request.int();
  // The connect begins with its protocol's version, which is 0; all else with its id and its kind.
  if (first === 0 && request.left > 20) return granted();
  const kind = request.int();
  const node = Buffer.from(nodeOf("b-1", 4372));
  if (kind === 12) return stat(reply(first).int(1).string("b-1"), 0).frame();
  if (kind === 3) return stat(reply(first), node.length).frame();
  if (kind === 4) return stat(reply(first).buffer(node), node.length).frame();
  return reply(first).frame();
};

function follow(
  t: TestContext,
  ...ports: number[]
): { lists: Broker[][]; lines: [string, unknown?][]; discovery: ZooKeeperDiscovery } {
  const { log, lines } = keeper();
  const lists: Broker[][] = [];
  const servers = ports.map((port) => ({ host: "127.0.0.1", port, tls: false }));
  const discovery = new ZooKeeperDiscovery(
    { text: "zk://fake", servers, chroot: "" },
    { stateDir: undefined, log },
    (brokers) => lists.push(brokers),
    { random: () => 0, backoff: new Backoff(1, 20) },
  );
  discovery.start();
  t.after(() => discovery.end());
  return { lists, lines, discovery };
}

test("answers that arrive a byte at a time are read", async (t) => {
  const server = await fake(t, [good], 1);
  const { lists } = follow(t, server.port);
  await until(() => lists.length > 0);
  assert.deepEqual(lists[0], [{ id: "b-1", address: { host: "127.0.0.1", port: 4372, tls: false } }]);
});

const faults: [string, Answer[]][] = [
  ["frame over the limit", [() => lengthOf(FRAME_BYTES_MAX + 1)]],
  ["frame of negative length", [() => lengthOf(-1)]],
  ["frame of no length", [() => lengthOf(0)]],
  ["garbage instead of the connect", [() => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")]],
  ["connect that is cut short", [() => new JuteWriter().int(0).int(1).frame()]],
  ["connect with something behind it", [() => frameOf(granted(), Buffer.alloc(9))]],
  ["answer to nothing", [() => granted(), () => reply(99).frame()]],
  ["answer without a head", [() => granted(), () => new JuteWriter().int(1).frame()]],
  ["list that claims two thousand million entries", [() => granted(), (r) => reply(r.int()).int(0x7fffffff).frame()]],
  ["list of negative length", [() => granted(), (r) => reply(r.int()).int(-7).frame()]],
  ["list without its stat", [() => granted(), (r) => reply(r.int()).int(1).string("b-1").frame()]],
  ["list with something behind it", [() => granted(), (r) => stat(reply(r.int()).int(0), 0).int(1).frame()]],
  ["event that is none", [() => granted(), () => reply(-1).frame()]],
  ["error that nobody knows, and the end", [() => granted(), ending((r) => reply(r.int(), -999).frame())]],
  ["end right after the connect", [ending(() => granted())]],
  ["end without a word", [(_r, socket) => void socket.destroy()]],
];

for (const [name, answers] of faults) {
  test(`${name}: the connection ends, and the next one is tried`, async (t) => {
    const server = await fake(t, [...answers, good]);
    const { lists, lines } = follow(t, server.port);
    await until(() => lists.length > 0);
    assert.ok(server.accepted > 1);
    assert.match(lines[0]?.[0] ?? "", /^zookeeper(:| server)/);
    assert.equal(lines.filter(([line]) => line.includes("until zookeeper answers")).length, 1);
  });
}

test("garbage for ever is told once, and ends when the reader does", async (t) => {
  const server = await fake(t, [() => Buffer.from("garbage that is no frame at all")]);
  const { lines, discovery } = follow(t, server.port);
  await until(() => server.accepted > 20);

  await discovery.end();

  const { accepted } = server;
  assert.equal(lines.length, 1);
  await new Promise((turn) => setImmediate(turn));
  assert.equal(server.accepted, accepted);
});

test("server that accepts and says nothing is left for the next one", async (t) => {
  const mute = await fake(t, [() => undefined]);
  const server = await fake(t, [good]);
  const { lists, lines } = follow(t, mute.port, server.port);

  await until(() => lists.length > 0);

  assert.match(lines[0]?.[0] ?? "", /did not answer in 3333 ms/);
  assert.deepEqual([mute.accepted, server.accepted], [1, 1]);
});

test("server that stops to answer after the connect is left for the next one", async (t) => {
  const mute = await fake(t, [() => granted(1_000), () => undefined]);
  const server = await fake(t, [good]);
  const { lists, lines } = follow(t, mute.port, server.port);

  await until(() => lists.length > 0);

  // A third of the timeout that it granted.
  assert.match(lines[0]?.[0] ?? "", /did not answer in 333 ms/);
});

test("timeout of a millisecond does not make pings without end", async (t) => {
  let frames = 0;
  const counting: Answer = (request, socket) => {
    frames++;
    return frames === 1 ? granted(1) : good(request, socket);
  };
  const server = await fake(t, [counting]);
  const { lists } = follow(t, server.port);
  await until(() => lists.length > 0);
  const before = frames;

  const from = performance.now();
  await until(() => frames >= before + 2);

  // Two pings, of which the first may be due at once.
  assert.ok(performance.now() - from > 300);
});

test("session that has expired is begun anew, by name of nobody", async (t) => {
  const ids: bigint[] = [];
  const grant =
    (timeoutMs: number, id: bigint): Answer =>
    (request) => {
      ids.push(idOf(request));
      return granted(timeoutMs, id);
    };
  const connects: Answer[] = [
    grant(10_000, 5n),
    (_request, socket) => void socket.destroy(),
    grant(0, 0n),
    grant(10_000, 6n),
    good,
  ];
  const { lists, discovery } = follow(t, (await fake(t, connects)).port);

  await until(() => lists.length > 0);

  assert.deepEqual(ids, [0n, 5n, 0n]);
  assert.equal(discovery.session.identity.id, 6n);
});

/** Answers, and closes. */
function ending(answer: (request: JuteReader) => Buffer): Answer {
  return (request, socket) => {
    socket.end(answer(request));
    return undefined;
  };
}

function idOf(request: JuteReader): bigint {
  request.int();
  request.long();
  request.int();
  return request.long();
}

function lengthOf(length: number): Buffer {
  return new JuteWriter().int(length).frame().subarray(4);
}

/** A frame with more behind its body. */
function frameOf(frame: Buffer, more: Buffer): Buffer {
  return new JuteWriter()
    .buffer(Buffer.concat([frame.subarray(4), more]))
    .frame()
    .subarray(4);
}

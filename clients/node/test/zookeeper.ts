/** Debian's ZooKeeper on a free port, and a client that writes nodes as brokers would. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ZooKeeperConnection } from "../src/zookeeper/connection.js";
import type { JuteWriter } from "../src/zookeeper/jute.js";
import { type Identity, nobody, readStat } from "../src/zookeeper/messages.js";

/** The package's jar names all that it needs but the one with Netty's codecs, without which its TLS takes nobody. */
const JARS = "/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar";

/** Far beyond what anything here takes; it is there so that a hang says where it is. */
const PATIENCE_MS = 60_000;

/** Waits until something holds that nobody tells us of. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const from = performance.now();
  while (!(await holds())) {
    assert.ok(performance.now() - from < PATIENCE_MS, `still not so: ${holds}`);
    await new Promise((later) => setTimeout(later, 10));
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

export interface ServerOptions {
  /** PEM of key and certificate: TLS on a port of its own. */
  tls?: { key: string; cert: string };
}

export class TestZooKeeper {
  readonly port: number;
  readonly tlsPort: number;
  readonly #folder: string;
  #process: ChildProcess | undefined;
  #said = "";

  private constructor(port: number, tlsPort: number, folder: string) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.#folder = folder;
  }

  /** Starts one; it answers when this resolves. */
  static async start({ tls }: ServerOptions = {}): Promise<TestZooKeeper> {
    const folder = mkdtempSync(join(tmpdir(), "hera-zookeeper-"));
    const server = new TestZooKeeper(await freePort(), await freePort(), folder);
    const settings = [
      "tickTime=500",
      `dataDir=${join(folder, "data")}`,
      `clientPort=${server.port}`,
      "clientPortAddress=127.0.0.1",
      "maxClientCnxns=0",
      "admin.enableServer=false",
      "4lw.commands.whitelist=*",
    ];
    if (tls) {
      const store = join(folder, "store.pem");
      writeFileSync(store, tls.key + tls.cert, { mode: 0o600 });
      settings.push(
        `secureClientPort=${server.tlsPort}`,
        "secureClientPortAddress=127.0.0.1",
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        `ssl.keyStore.location=${store}`,
        "ssl.clientAuth=none",
      );
    }
    writeFileSync(join(folder, "zoo.cfg"), `${settings.join("\n")}\n`);
    try {
      await server.up();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `zk://127.0.0.1:${this.port}`;
  }

  /** Starts it again, with the data that it had. */
  async up(): Promise<void> {
    const flags = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    const main = ["-cp", JARS, "org.apache.zookeeper.server.ZooKeeperServerMain", join(this.#folder, "zoo.cfg")];
    const child = spawn("java", [...flags, ...main], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes: Buffer) => {
        this.#said = (this.#said + bytes.toString()).slice(-4_096);
      });
    }
    await until(async () => {
      assert.ok(runs(child), `zookeeper ended: ${this.#said}`);
      // `ruok` says yes long before it serves.
      return (await this.ask("srvr")).startsWith("Zookeeper version");
    });
  }

  /** Kills it, as a power cut would. */
  async down(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || !runs(child)) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** Forgets everything that was ever written; it has to be down. */
  wipe(): void {
    rmSync(join(this.#folder, "data"), { recursive: true, maxRetries: 10 });
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, maxRetries: 10 });
  }

  /** One of the four-letter commands; nothing where it does not answer. */
  async ask(command: string): Promise<string> {
    const socket = connect(this.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.setTimeout(2_000, () => socket.destroy());
    socket.end(command);
    return text(socket).catch(() => "");
  }

  /** A client of its own session. */
  writer(identity: Identity = nobody): Promise<Writer> {
    return Writer.open(this.port, identity);
  }
}

function runs({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

/** Writes nodes; each call is one request. */
export class Writer {
  readonly #connection: ZooKeeperConnection;

  private constructor(connection: ZooKeeperConnection) {
    this.#connection = connection;
  }

  static open(port: number, identity: Identity): Promise<Writer> {
    return new Promise((resolve, reject) => {
      const connection = new ZooKeeperConnection({ host: "127.0.0.1", port, tls: false }, undefined, identity, 10_000, {
        opened: () => resolve(new Writer(connection)),
        event() {},
        closed: reject,
      });
    });
  }

  /** Readable by everybody, unless it is `closed` to all. */
  async create(path: string, data: Buffer | string = "", { ephemeral = false, closed = false } = {}): Promise<void> {
    const acl = (writer: JuteWriter): JuteWriter =>
      closed
        ? writer.int(1).int(31).string("digest").string("x:x")
        : writer.int(1).int(31).string("world").string("anyone");
    await this.#connection.request(
      1,
      path,
      (writer) => acl(writer.buffer(Buffer.from(data))).int(ephemeral ? 1 : 0),
      (reader) => reader.string(),
    );
  }

  async set(path: string, data: Buffer | string): Promise<void> {
    await this.#connection.request(5, path, (writer) => writer.buffer(Buffer.from(data)).int(-1), readStat);
  }

  async remove(path: string): Promise<void> {
    await this.#connection.request(
      2,
      path,
      (writer) => writer.int(-1),
      () => {},
    );
  }

  /** Ends the session. */
  end(): Promise<void> {
    return this.#connection.end();
  }
}

/** What a broker writes of itself. */
export function nodeOf(id: string, port: number, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    name: "brokers",
    id,
    address: "127.0.0.1",
    port,
    sslPort: null,
    payload: null,
    registrationTimeUTC: 1_790_000_000_000,
    serviceType: "DYNAMIC",
    uriSpec: null,
    protocols: ["hera/1+tcp"],
    http: "http://127.0.0.1:8080",
    admin: "127.0.0.1:4380",
    version: "0.1.0",
    started: 1_790_000_000,
    mac: "0".repeat(64),
    ...more,
  });
}

const folder = new URL("../../test/tls/", import.meta.url);
/** Made for tests alone, for localhost, valid for a hundred years. */
export const testTls = {
  cert: readFileSync(new URL("cert.pem", folder), "utf8"),
  key: readFileSync(new URL("key.pem", folder), "utf8"),
};

/** A session with ZooKeeper over whichever of its servers answers: reconnects, and begins anew when it has expired.
 *
 *      server a ── lost ── wait ── server b (same session) ── lost … expired ── server c (new session)
 *
 *  It holds no node, so an end of the session costs nothing but the watches, and those are set anew by whoever lists after
 *  each `connected`. */
import { Backoff } from "../backoff.js";
import type { Dial } from "../dial.js";
import type { Address, Options } from "../options.js";
import { ZooKeeperConnection } from "./connection.js";
import type { JuteReader } from "./jute.js";
import { type Granted, type Identity, nobody, ops, readChildren, readData, readStat, type Stat } from "./messages.js";

export interface SessionEvents {
  /** Connected, or connected again: watches from before are gone. @param fresh the session is a new one */
  connected(fresh: boolean): void;
  /** A watch fired. */
  changed(): void;
  /** A connection was lost or could not be made; the next one is dialled soon. */
  away(error: Error): void;
}

export interface SessionOptions {
  ca?: Options["ca"];
  backoff?: Backoff;
  /** Gives 0 to 1, for the order of the servers. */
  random?: () => number;
  dial?: Dial;
}

/** */
const TIMEOUT_MS = 10_000;
/** A connection that held so long proves that the server is well. */
const HELD_MS = 10_000;

export class ZooKeeperSession {
  readonly #servers: Address[];
  readonly #events: SessionEvents;
  readonly #options: SessionOptions;
  readonly #backoff: Backoff;
  #next = 0;
  #identity: Identity = nobody;
  #connection: ZooKeeperConnection | undefined;
  #openedAt: number | undefined;
  #heardAt = 0;
  #retry: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(servers: Address[], events: SessionEvents, options: SessionOptions = {}) {
    this.#servers = shuffled(servers, options.random ?? Math.random);
    this.#events = events;
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  start(): void {
    const server = this.#servers[this.#next++ % this.#servers.length] as Address;
    const connection = new ZooKeeperConnection(
      server,
      this.#options.ca,
      this.#identity,
      TIMEOUT_MS,
      {
        opened: (granted) => this.#opened(connection, granted),
        event: () => this.#events.changed(),
        closed: (error) => this.#closed(connection, error),
      },
      this.#options.dial,
    );
    this.#connection = connection;
  }

  /** Closes the session; nothing is dialled any more. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#retry);
    await this.#connection?.end();
  }

  /** By what servers know the session. @internal */
  get identity(): Identity {
    return this.#identity;
  }

  /** Names of the children; the watch fires when one comes or goes. */
  children(path: string, watch: boolean): Promise<string[]> {
    return this.#request(ops.getChildren2, path, watch, readChildren);
  }

  /** The watch also fires when a node that is not there is made. */
  exists(path: string, watch: boolean): Promise<Stat> {
    return this.#request(ops.exists, path, watch, readStat);
  }

  data(path: string): Promise<{ data: Buffer; stat: Stat }> {
    return this.#request(ops.getData, path, false, readData);
  }

  #request<T>(op: number, path: string, watch: boolean, read: (reader: JuteReader) => T): Promise<T> {
    const connection = this.#connection;
    if (!connection) return Promise.reject(new Error("zookeeper is not connected"));
    return connection.request(op, path, (writer) => writer.bool(watch), read);
  }

  #opened(connection: ZooKeeperConnection, { timeoutMs, id, password }: Granted): void {
    const asked = this.#identity;
    if (timeoutMs <= 0) {
      this.#identity = nobody;
      return connection.destroy(new Error("the zookeeper session has expired"));
    }
    this.#identity = { id, password, zxid: asked.zxid };
    this.#openedAt = performance.now();
    this.#events.connected(asked.id !== id);
  }

  #closed(connection: ZooKeeperConnection, error: Error): void {
    const now = performance.now();
    this.#connection = undefined;
    if (this.#openedAt !== undefined) {
      this.#heardAt = connection.heardAt;
      if (now - this.#openedAt >= HELD_MS) this.#backoff.reset();
      if (this.#identity.id !== 0n) this.#identity = { ...this.#identity, zxid: connection.zxid };
    }
    this.#openedAt = undefined;
    // Past its time the session is over whether a server told us or not. To insist would be for ever where servers were
    // wiped: they refuse, without an answer, whoever saw a later transaction than they have.
    if (now - this.#heardAt > TIMEOUT_MS) this.#identity = nobody;
    if (this.#ended) return;
    this.#events.away(error);
    this.#retry = setTimeout(() => this.start(), this.#backoff.next()).unref();
  }
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const left = [...list];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random() * left.length), 1));
  return order;
}

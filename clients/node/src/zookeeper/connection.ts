/** One connection to one ZooKeeper server: handshake, requests answered in their order, pings, silence.
 *
 *      dial ──> connect ──> open ──> closed
 *
 *  Whatever does not fit ends the connection, never more. */
import type { Socket } from "node:net";
import { type Dial, dial as dialSocket } from "../dial.js";
import type { Address, Options } from "../options.js";
import { FrameCutter } from "./frames.js";
import { JuteError, JuteReader, JuteWriter } from "./jute.js";
import {
  connectRequest,
  type Granted,
  type Identity,
  ops,
  readEvent,
  readGranted,
  readReplyHead,
  xids,
  ZooKeeperError,
} from "./messages.js";

export interface ConnectionEvents {
  /** The server answered the connect. */
  opened(granted: Granted): void;
  /** A watch fired. */
  event(): void;
  /** The end, once. */
  closed(error: Error): void;
}

interface Waiter {
  xid: number;
  path: string;
  answer(reader: JuteReader): void;
  fail(error: Error): void;
}

/** How long the server of a session that we close may take to say goodbye. */
const GOODBYE_MS = 500;
/** What servers grant is taken within these bounds: a third of it is how often we ping, and how long we wait. */
const TIMEOUT_MS_LEAST = 1_000;

export class ZooKeeperConnection {
  readonly #server: Address;
  readonly #events: ConnectionEvents;
  readonly #socket: Socket;
  readonly #cutter = new FrameCutter();
  readonly #timeoutMsMost: number;
  readonly #now: () => number;
  #ticks: NodeJS.Timeout | undefined;
  #answerMs: number;
  #open = false;
  #ended = false;
  #closed = false;
  #error: Error | undefined;
  #xid = 0;
  #waiting: Waiter[] = [];
  #pingOut = false;
  /** When we began to wait for something. */
  #askedAt: number;
  #sentAt: number;
  #heardAt: number;
  #goodbye: (() => void) | undefined;
  /** The newest transaction that an answer named. */
  zxid: bigint;

  /** @param timeoutMs session timeout that is asked for; a third of it is the longest wait for an answer */
  constructor(
    server: Address,
    ca: Options["ca"],
    identity: Identity,
    timeoutMs: number,
    events: ConnectionEvents,
    dial: Dial = dialSocket,
    now: () => number = () => performance.now(),
  ) {
    this.#server = server;
    this.#events = events;
    this.#timeoutMsMost = timeoutMs;
    this.#answerMs = timeoutMs / 3;
    this.#now = now;
    this.zxid = identity.zxid;
    this.#askedAt = now();
    this.#sentAt = this.#askedAt;
    this.#heardAt = this.#askedAt;
    this.#socket = dial(server, ca, () => this.#socket.write(connectRequest(identity, timeoutMs)));
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#socket.on("error", (error) => {
      this.#error ??= error;
    });
    this.#socket.on("close", () => this.#finish());
    this.#startTicks();
  }

  /** When the last whole frame came; the dial, before one did. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Sends a request; rejects with a `ZooKeeperError` when the server refuses, with any other error when the connection ends. */
  request<T>(
    op: number,
    path: string,
    rest: (writer: JuteWriter) => void,
    read: (reader: JuteReader) => T,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.#open || this.#ended || this.#closed) return reject(new Error("zookeeper is not connected"));
      // Positive and 31 bits: at one a millisecond that is a month, and nothing waits so long.
      this.#xid = this.#xid === 0x7fffffff ? 1 : this.#xid + 1;
      const waiter: Waiter = {
        xid: this.#xid,
        path,
        answer: (reader) => {
          const value = read(reader);
          reader.end();
          resolve(value);
        },
        fail: reject,
      };
      const writer = new JuteWriter().int(waiter.xid).int(op).string(path);
      rest(writer);
      this.#asking();
      this.#waiting.push(waiter);
      this.#send(writer.frame());
    });
  }

  /** Closes the session, and resolves when that is done, or could not be done in half a second. */
  end(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#ended = true;
    const closed = new Promise<void>((resolve) => {
      this.#goodbye = resolve;
    });
    if (!this.#open) {
      this.destroy(new Error("closed"));
      return closed;
    }
    this.#send(new JuteWriter().int(0).int(ops.closeSession).frame());
    // The server ends the connection once the session is closed.
    this.#socket.setTimeout(GOODBYE_MS, () => this.#socket.destroy());
    return closed;
  }

  /** Ends the connection now; its session lives on. */
  destroy(error: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  #send(frame: Buffer): void {
    this.#sentAt = this.#now();
    this.#socket.write(frame);
  }

  // ---- reading

  #read(bytes: Buffer): void {
    if (this.#closed || this.#socket.destroyed) return;
    try {
      this.#cutter.push(bytes, (frame) => {
        this.#heardAt = this.#now();
        this.#frame(new JuteReader(frame));
        return !this.#socket.destroyed;
      });
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      this.destroy(new Error(`${this.#name} does not speak zookeeper's protocol: ${error.message}`));
    }
  }

  #frame(reader: JuteReader): void {
    if (!this.#open) return this.#granted(readGranted(reader));
    const { xid, zxid, error } = readReplyHead(reader);
    if (xid === xids.event) {
      readEvent(reader);
      if (!this.#ended) this.#events.event();
      return;
    }
    if (zxid > this.zxid) this.zxid = zxid;
    if (xid === xids.ping) {
      this.#pingOut = false;
      return;
    }
    // After our goodbye answers are of no use to anybody.
    if (this.#ended) return;
    const waiter = this.#waiting[0];
    if (waiter?.xid !== xid) throw new JuteError(`answer to request ${xid}, not to ${waiter?.xid ?? "none"}`);
    if (error === 0) waiter.answer(reader);
    else waiter.fail(new ZooKeeperError(error, waiter.path));
    this.#waiting.shift();
  }

  #granted(granted: Granted): void {
    this.#open = true;
    if (granted.timeoutMs > 0) {
      const timeoutMs = Math.max(TIMEOUT_MS_LEAST, Math.min(granted.timeoutMs, this.#timeoutMsMost));
      this.#answerMs = timeoutMs / 3;
      this.#startTicks();
    }
    this.#events.opened(granted);
  }

  // ---- silence

  get #outstanding(): boolean {
    return !this.#open || this.#pingOut || this.#waiting.length > 0;
  }

  /** To be called before something is asked. */
  #asking(): void {
    if (!this.#outstanding) this.#askedAt = this.#now();
  }

  #startTicks(): void {
    clearInterval(this.#ticks);
    // Ten looks in the time of an answer: pings and judgements are at most a tenth late.
    this.#ticks = setInterval(() => this.#tick(), this.#answerMs / 10).unref();
  }

  #tick(): void {
    if (this.#silent) {
      // Where this process was late itself, the answer may wait in the socket: that is read before anybody is blamed.
      setImmediate(() => {
        if (this.#silent) this.destroy(new Error(`${this.#name} did not answer in ${Math.round(this.#answerMs)} ms`));
      });
      return;
    }
    if (this.#outstanding || this.#ended || this.#now() - this.#sentAt < this.#answerMs) return;
    this.#asking();
    this.#pingOut = true;
    this.#send(new JuteWriter().int(xids.ping).int(ops.ping).frame());
  }

  get #silent(): boolean {
    return this.#outstanding && this.#now() - Math.max(this.#askedAt, this.#heardAt) > this.#answerMs;
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticks);
    const { message } = this.#error ?? { message: this.#open ? "closed the connection" : "refused the connection" };
    const error = new Error(message.startsWith(this.#name) ? message : `${this.#name}: ${message}`);
    for (const waiter of this.#waiting) waiter.fail(error);
    this.#waiting = [];
    this.#goodbye?.();
    this.#events.closed(error);
  }

  get #name(): string {
    return `zookeeper server ${this.#server.host}:${this.#server.port}`;
  }
}

/** The half of a session that calls: its remote calls in flight (P-54 to P-56). */
import { Calls } from "./calls.js";
import type { Clock } from "./clock.js";
import type { Connection } from "./connection.js";
import type { HeraError, WireCode } from "./errors.js";
import { Latency } from "./latency.js";
import type { Pending } from "./pending.js";
import { type Outcome, RemoteCall, type RemoteHost } from "./remote-call.js";
import type { RemoteRequest } from "./remote-request.js";

/** A notification about a remote call, as it came. */
export interface RemoteNotice {
  id?: unknown;
  body?: unknown;
  bytes?: unknown;
  code?: unknown;
}

/** What came to nothing, or is fatal (P-12). */
export type Heard = "heard" | "dropped" | { fault: WireCode; reason: string };

export class RemoteSession implements RemoteHost {
  readonly #connection: Connection;
  readonly #pending: Pending;
  readonly #clock: Clock;
  readonly #idle: () => void;
  readonly #calls = new Calls<RemoteCall>();
  readonly latency = new Latency();
  /** Whether the session lives: from the first accepted declaration to the beginning of its end. */
  live = false;
  /** Whether the broker takes remote calls. */
  offered = false;
  /** Whether the broker said that it is going (P-44). */
  drains = false;
  inFlightMax = 0;

  /** @param idle runs when the last call is over */
  constructor(connection: Connection, pending: Pending, clock: Clock, idle: () => void) {
    this.#connection = connection;
    this.#pending = pending;
    this.#clock = clock;
    this.#idle = idle;
  }

  get inFlight(): number {
    return this.#calls.size;
  }

  /** Whether one more would be over what was agreed (P-55). */
  get full(): boolean {
    return this.#calls.size >= this.inFlightMax;
  }

  /** Makes a call. @param settle see `RemoteCall` */
  call(request: RemoteRequest, timeout: number | undefined, settle: (outcome: Outcome) => void): void {
    const id = this.#pending.push((error, result, attachment) => call.answer(error, result, attachment));
    const call = new RemoteCall(this, id, request, timeout, this.#clock.now(), settle);
    this.#calls.add(call);
  }

  /** A notification that says `remote`. */
  heard(method: string, { id, body, bytes, code }: RemoteNotice, attachment: Buffer): Heard {
    const call = typeof id === "number" ? this.#calls.get(id) : undefined;
    if (!call) return "dropped";
    switch (`${method} ${String(body)}`) {
      case "chunk reply":
        if (attachment.length === 0) return { fault: "invalid_request", reason: "empty chunk" };
        if (call.chunk(attachment)) return "heard";
        return { fault: "credit_exceeded", reason: "more chunk bytes than were granted" };
      case "end reply":
        call.replyEnded();
        return "heard";
      case "reset reply":
        call.replyReset(code);
        return "heard";
      case "reset call":
        call.callReset();
        return "heard";
      case "credit call":
        if (!Number.isSafeInteger(bytes) || (bytes as number) < 1 || (bytes as number) > 2 ** 31 - 1) {
          return { fault: "invalid_params", reason: "credit is not 1 to 2^31 - 1 bytes" };
        }
        if (call.credit(bytes as number)) return "heard";
        return { fault: "credit_exceeded", reason: "credit over 2^31 - 1" };
    }
    return "dropped";
  }

  /** Whether a call waits for longer than an answer can take. */
  overdue(now: number): boolean {
    return this.#calls.size > 0 && this.#calls.all().some((call) => call.expired(now));
  }

  /** Gives up those that are overdue. */
  expire(now: number): void {
    for (const call of this.#calls.all()) if (call.expired(now)) call.expire();
  }

  /** The connection ended. */
  lost(cause: HeraError): void {
    this.live = false;
    for (const call of this.#calls.all()) call.lost(cause);
  }

  // ---- what a remote call needs of it

  get open(): boolean {
    return !this.#connection.closed;
  }

  get writes(): number {
    return this.#connection.writes;
  }

  frame(head: string, attachment?: Buffer | string): void {
    this.#connection.frame(head, attachment);
  }

  offer(body: Parameters<Connection["offer"]>[0]): void {
    this.#connection.offer(body);
  }

  withdraw(body: Parameters<Connection["withdraw"]>[0]): void {
    this.#connection.withdraw(body);
  }

  over(call: RemoteCall): void {
    this.#pending.forget(call.id);
    if (this.#calls.delete(call) && this.#calls.size === 0) this.#idle();
  }
}

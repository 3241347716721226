/** Requests of ours that wait for their answer: the whole life of them, push to fail. */
import { fromWire, type HeraError } from "./errors.js";
import { limits } from "./limits.js";
import type { Response } from "./message.js";

export type OnAnswer = (error: HeraError | undefined, result: unknown, attachment: Buffer) => void;

export class Pending {
  #next: number;
  /** A plain object for the reason that `Calls` is one. */
  readonly #waiting: Record<number, OnAnswer> = Object.create(null);
  /** Answers to ids that wait no longer; they harm nobody (P-11). */
  late = 0;
  #unknown = 0;
  #unknownFrom = 0;

  /** @param first the first id to give out */
  constructor(first = 1) {
    this.#next = first;
  }

  /** Keeps `done` for the next id and gives that id. */
  push(done: OnAnswer): number {
    const id = this.#next++;
    this.#waiting[id] = done;
    return id;
  }

  /** Waits no longer for an answer; one that comes all the same is late. */
  forget(id: number): OnAnswer | undefined {
    const done = this.#waiting[id];
    delete this.#waiting[id];
    return done;
  }

  /** Brings an answer to whom it belongs. Gives false when answers to ids never issued are a fault of the peer by now (P-11).
   *  @param now monotonic milliseconds */
  answer({ id, error, result }: Response, attachment: Buffer, now: number): boolean {
    const done = typeof id === "number" ? this.forget(id) : undefined;
    if (done) {
      done(error === undefined ? undefined : fromWire(error), result, attachment);
      return true;
    }
    if (typeof id === "number" && id < this.#next) {
      this.late++;
      return true;
    }
    if (now - this.#unknownFrom > 10_000) {
      this.#unknown = 0;
      this.#unknownFrom = now;
    }
    return ++this.#unknown < limits.unknown_replies_max;
  }

  /** Fails one request whose answer could not be read (P-10). */
  fail(id: number, error: HeraError): void {
    this.forget(id)?.(error, undefined, NOTHING);
  }

  /** Fails all of them: the connection ended. */
  failAll(error: HeraError): void {
    for (const id of Object.keys(this.#waiting)) this.forget(Number(id))?.(error, undefined, NOTHING);
  }
}

const NOTHING = Buffer.alloc(0);

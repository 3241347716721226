/** Requests of ours that wait for their answer: the whole life of them, push to fail. */
import { fromWire, type HeraError } from "./errors.js";
import { limits } from "./limits.js";

export type OnAnswer = (error: HeraError | undefined, result: unknown) => void;

export class Pending {
  #next: number;
  readonly #waiting = new Map<number, OnAnswer>();
  /** Answers to ids that wait no longer; they harm nobody (P-11). */
  late = 0;
  #unknown = 0;
  #unknownFrom = 0;

  /** @param first the first id to give out */
  constructor(first = 1) {
    this.#next = first;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Keeps `done` for the next id and gives that id. */
  push(done: OnAnswer): number {
    const id = this.#next++;
    this.#waiting.set(id, done);
    return id;
  }

  /** Brings an answer to whom it belongs. Gives false when answers to ids never issued are a fault of the peer by now (P-11).
   *  @param now monotonic milliseconds */
  answer(id: number | null | undefined, error: unknown, result: unknown, now: number): boolean {
    const done = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (done) {
      this.#waiting.delete(id as number);
      done(error === undefined ? undefined : fromWire(error), result);
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
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(error, undefined);
  }

  /** Fails all of them: the connection ended. */
  failAll(error: HeraError): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const done of all) done(error, undefined);
  }
}

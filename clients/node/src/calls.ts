/** The calls in flight on one connection, by their ids. */
import type { Call } from "./call.js";

/** A plain object without prototype, not a `Map`: a Map that is added to and deleted from for ever makes a new table every few
 *  thousand entries, and V8 lets each old one point to the next. Once one of them is promoted to the old generation, all later ones
 *  outlive the collections of the young one, with every call that was in them: 70 % survived instead of 2 %, and a call cost a quarter more. */
export class Calls {
  readonly #byId: Record<number, Call> = Object.create(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Call | undefined {
    return this.#byId[id];
  }

  add(call: Call): void {
    this.#byId[call.id] = call;
    this.#size++;
  }

  /** Gives whether it was there. */
  delete(call: Call): boolean {
    if (this.#byId[call.id] !== call) return false;
    delete this.#byId[call.id];
    this.#size--;
    return true;
  }

  all(): Call[] {
    return Object.values(this.#byId);
  }
}

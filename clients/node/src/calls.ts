/** The calls in flight on one connection, by their ids; remote calls likewise. */

/** A plain object without prototype, not a `Map`: a Map that is added to and deleted from for ever makes a new table every few
 *  thousand entries, and V8 lets each old one point to the next. Once one of them is promoted to the old generation, all later ones
 *  outlive the collections of the young one, with every call that was in them: 70 % survived instead of 2 %, and a call cost a quarter more. */
export class Calls<Each extends { readonly id: number }> {
  readonly #byId: Record<number, Each> = Object.create(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Each | undefined {
    return this.#byId[id];
  }

  add(call: Each): void {
    this.#byId[call.id] = call;
    this.#size++;
  }

  /** Gives whether it was there. */
  delete(call: Each): boolean {
    if (this.#byId[call.id] !== call) return false;
    delete this.#byId[call.id];
    this.#size--;
    return true;
  }

  all(): Each[] {
    return Object.values(this.#byId);
  }
}

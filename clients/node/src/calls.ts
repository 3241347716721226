/** The calls in flight on one connection, by their ids; remote calls likewise. */

/** Each has the slot that its id's last bits name; ids are given out one after the other, so that few meet in one, and these few are kept apart.
 *
 *  Not a `Map`: a Map that is added to and deleted from for ever makes a new table every few thousand entries, and V8 lets each old one
 *  point to the next. Once one of them is promoted to the old generation, all later ones outlive the collections of the young one,
 *  with every call that was in them: 70 % survived instead of 2 %, and a call cost a quarter more. */
export class Calls<Each extends { readonly id: number }> {
  readonly #slots: (Each | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #others: Record<number, Each> = Object.create(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Each | undefined {
    const call = this.#slots[id % SLOTS];
    return call?.id === id ? call : this.#others[id];
  }

  /** @param call with an id that no other has */
  add(call: Each): void {
    const slot = call.id % SLOTS;
    if (this.#slots[slot] === undefined) this.#slots[slot] = call;
    else this.#others[call.id] = call;
    this.#size++;
  }

  /** Gives whether it was there. */
  delete(call: Each): boolean {
    const { id } = call;
    if (this.get(id) !== call) return false;
    if (this.#slots[id % SLOTS] === call) this.#slots[id % SLOTS] = undefined;
    else delete this.#others[id];
    this.#size--;
    return true;
  }

  all(): Each[] {
    return [...this.#slots.filter((call) => call !== undefined), ...Object.values(this.#others)];
  }
}

/** As many as a broker may have in flight here. */
const SLOTS = 1_024;

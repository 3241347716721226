/** Time as calls see it: when they arrived, also after this process was frozen or its loop was blocked (P-37).
 *
 *      tick ── tick ── (frozen 30 s) ── wake: poll reads what waited ── tick
 *                 ^                       counts from here: the tick before
 *
 *  While it is late, handlers wait until a turn of the loop read nothing: cancels and the end of the stream come first. */
const TICK_MS = 100;
/** A tick is late when the gap is well over what timers are off by on a busy machine. */
const LATE_MS = 150;

export class Clock {
  readonly #now: () => number;
  readonly #listeners = new Set<(now: number) => void>();
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;
  #lateFrom: number | undefined;
  #readInTurn = false;

  /** @param now monotonic milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  /** Starts ticking; the timer keeps the process alive while brokers are away. */
  start(): void {
    if (this.#timer) return;
    this.#ticked = this.#now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#lateFrom = undefined;
  }

  /** Whether handlers have to wait. */
  get late(): boolean {
    return this.#lateFrom !== undefined;
  }

  /** Runs `listener` about every 100 ms while the clock ticks; gives how to stop that. */
  onTick(listener: (now: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The time from which what is read now counts. */
  arrival(): number {
    const now = this.#now();
    if (this.#lateFrom === undefined && this.#timer && now - this.#ticked > LATE_MS) this.#startLate(this.#ticked);
    if (this.#lateFrom === undefined) return now;
    this.#readInTurn = true;
    return this.#lateFrom;
  }

  #tick(): void {
    const now = this.#now();
    if (now - this.#ticked > LATE_MS) this.#startLate(this.#ticked);
    this.#ticked = now;
    for (const listener of this.#listeners) listener(now);
  }

  #startLate(from: number): void {
    if (this.#lateFrom !== undefined) return;
    this.#lateFrom = from;
    this.#readInTurn = true;
    setImmediate(() => this.#settle());
  }

  /** Runs after each poll of the sockets, until one read nothing. */
  #settle(): void {
    if (this.#lateFrom === undefined) return;
    if (this.#readInTurn) {
      this.#readInTurn = false;
      setImmediate(() => this.#settle());
    } else {
      this.#lateFrom = undefined;
    }
  }
}

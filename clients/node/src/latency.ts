/** How long one broker takes, as the remote calls through it see it: a mean that jumps up at once, and forgets within some ten seconds.
 *
 *  It fades while nothing is measured too, so that a broker that was slow once is tried again. */
export class Latency {
  #value = 0;
  #at = 0;

  /** Milliseconds, at least one: below that, differences say nothing. */
  read(now: number): number {
    return Math.max(LEAST_MS, this.#value * Math.exp((this.#at - now) / FADES_MS));
  }

  measured(milliseconds: number, now: number): void {
    const weight = Math.exp((this.#at - now) / FADES_MS);
    this.#value = Math.max(milliseconds, milliseconds + (this.#value - milliseconds) * weight);
    this.#at = now;
  }
}

const LEAST_MS = 1;
const FADES_MS = 10_000;

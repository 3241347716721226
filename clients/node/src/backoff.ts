/** Full-jitter exponential back-off: a herd of workers that lost one broker does not return in step. */
export class Backoff {
  readonly #leastMs: number;
  readonly #mostMs: number;
  readonly #random: () => number;
  #failures = 0;

  /** @param random gives 0 to 1; passed in so that tests can seed it */
  constructor(leastMs = 100, mostMs = 10_000, random: () => number = Math.random) {
    this.#leastMs = leastMs;
    this.#mostMs = mostMs;
    this.#random = random;
  }

  /** Milliseconds to wait before the next attempt: anything from 0 to a bound that doubles with each failure. */
  next(): number {
    // 2 ** 20 is past any bound in use; more would only lose precision.
    const bound = Math.min(this.#mostMs, this.#leastMs * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    return Math.round(this.#random() * bound);
  }

  /** To be called when a connection proved to hold. */
  reset(): void {
    this.#failures = 0;
  }
}

package dev.hera.core;

import java.util.function.DoubleSupplier;

/** Full-jitter exponential back-off: a herd of workers that lost one broker does not return in step. One thread at a time. */
public final class Backoff {
    private static final long LEAST_MS = 100;
    private static final long MOST_MS = 10_000;

    private final DoubleSupplier random;
    private int failures;

    /** @param random gives 0 to 1; passed in so that tests can seed it */
    public Backoff(DoubleSupplier random) {
        this.random = random;
    }

    /** Milliseconds to wait before the next attempt: anything from 0 to a bound that doubles with each failure. */
    public long nextMs() {
        // 2^20 times the least is past the most; more would overflow.
        long bound = Math.min(MOST_MS, LEAST_MS << Math.min(failures, 20));
        failures++;
        return Math.round(random.getAsDouble() * bound);
    }

    /** To be called when a connection proved to hold. */
    public void reset() {
        failures = 0;
    }
}

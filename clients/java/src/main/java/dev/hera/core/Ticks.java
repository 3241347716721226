package dev.hera.core;

/** When what is read in one turn of a connection's loop arrived (P-37). */
final class Ticks {
    static final int TICK_MS = 100;
    private static final long TICK_NANOS = TICK_MS * 1_000_000L;
    /** A tick this long after the one before came late: the process was frozen or starved. */
    static final long LATE_NANOS = 2 * TICK_NANOS;

    private long last;

    /**
     * One turn of the loop.
     *
     * @param arrival from when the time of the calls in this turn counts
     * @param late whether the tick came late
     * @param ticked whether a tick passed, so that what happens every tick is due
     */
    record Turn(long arrival, boolean late, boolean ticked) {}

    /** @param now monotonic nanoseconds */
    Ticks(long now) {
        last = now;
    }

    /** Begins a turn. After a freeze nobody knows how long the bytes had waited, so the worst is taken: since the tick before. */
    Turn turn(long now) {
        long since = now - last;
        boolean late = since > LATE_NANOS;
        boolean ticked = since >= TICK_NANOS;
        long arrival = late ? last : now;
        if (ticked) last = now;
        return new Turn(arrival, late, ticked);
    }
}

package dev.hera.protocol;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;

/** Requests of ours that wait for their answer: the whole life of them, push to fail. Safe from any thread. */
public final class Pending<W> {
    private static final long WINDOW_NANOS = 10_000_000_000L;

    /** What an answer is to. */
    public enum Kind {
        /** A request that waits. */
        OURS,
        /** One that waits no longer: it harms nobody (P-11). */
        LATE,
        /** One that was never made. */
        UNKNOWN,
        /** The like of it once too often (P-11). */
        TOO_MANY
    }

    private final Map<Long, W> waiting = new HashMap<>();
    private long next;
    private int unknown;
    private long unknownFrom;

    /** @param first the first id to give out */
    public Pending(long first) {
        next = first;
    }

    /**
     * Keeps {@code waiter} for the next id, and sends what {@code send} makes of that id before another id is given out: ids ascend on the wire
     * (P-7).
     */
    public synchronized long push(W waiter, LongConsumer send) {
        long id = next++;
        waiting.put(id, waiter);
        send.accept(id);
        return id;
    }

    /** The one who waits for the answer of this id, who waits no longer now; null when nobody does, see {@link #kind}. */
    public synchronized W take(long id) {
        return waiting.remove(id);
    }

    /** Counts an answer to an id for which nobody waits. @param now monotonic nanoseconds */
    public synchronized Kind kind(Message.Id id, long now) {
        if (id.isNumber() && waiting.containsKey(id.number())) return Kind.OURS;
        if (id.isNumber() && id.number() < next) return Kind.LATE;
        if (unknown == 0 || now - unknownFrom > WINDOW_NANOS) {
            unknown = 0;
            unknownFrom = now;
        }
        return ++unknown < Limits.UNKNOWN_REPLIES_MAX ? Kind.UNKNOWN : Kind.TOO_MANY;
    }

    /** All that wait; nobody waits any more. */
    public synchronized List<W> takeAll() {
        List<W> all = new ArrayList<>(waiting.values());
        waiting.clear();
        return all;
    }
}

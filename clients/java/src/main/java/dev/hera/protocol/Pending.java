package dev.hera.protocol;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Requests of ours that wait for their answer: the whole life of them, push to fail. One thread at a time. */
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

    /** Keeps {@code waiter} for the next id, and gives that id. */
    public long push(W waiter) {
        long id = next++;
        waiting.put(id, waiter);
        return id;
    }

    public int size() {
        return waiting.size();
    }

    /** The one who waits for the answer of this id, who waits no longer now; null when nobody does, see {@link #kind}. */
    public W take(long id) {
        return waiting.remove(id);
    }

    /** Who waits for this id, and goes on waiting; null when nobody does. */
    public W peek(long id) {
        return waiting.get(id);
    }

    /** Counts an answer to an id for which nobody waits. @param now monotonic nanoseconds */
    public Kind kind(Message.Id id, long now) {
        if (id.isNumber() && waiting.containsKey(id.number())) return Kind.OURS;
        if (id.isNumber() && id.number() < next) return Kind.LATE;
        if (unknown == 0 || now - unknownFrom > WINDOW_NANOS) {
            unknown = 0;
            unknownFrom = now;
        }
        return ++unknown < Limits.UNKNOWN_REPLIES_MAX ? Kind.UNKNOWN : Kind.TOO_MANY;
    }

    /** All that wait; nobody waits any more. */
    public List<W> takeAll() {
        List<W> all = new ArrayList<>(waiting.values());
        waiting.clear();
        return all;
    }
}

package dev.hera.core;

import dev.hera.protocol.Frame;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;

/**
 * What waits to be written on one connection; handlers, bodies and the loop put in, the loop takes out.
 *
 * <pre>
 *   replies, pongs, credit --> [ frames ........ ]--+
 *                                                   +--> turn, written by the loop
 *   body A --> [c][c][end] -+                       |
 *   body B --> [c][c]      -+- round robin, 256 KiB +
 * </pre>
 *
 * A turn takes every frame that waits, then chunks of the bodies in turn; so a small frame never waits behind more than 256 KiB of them, and no
 * body behind another (P-42). The lock guards plain memory; a body's lock is taken under it, never the other way round.
 */
final class Outlet {
    private static final int TURN_CHUNK_BYTES = 262_144;

    private final Runnable wake;
    private final ArrayDeque<Frame> frames = new ArrayDeque<>();
    private final ArrayDeque<Outgoing> ready = new ArrayDeque<>();
    private long bytes;
    private boolean closed;

    /** @param wake brings the loop to look in; quick, and does not take a lock of ours */
    Outlet(Runnable wake) {
        this.wake = wake;
    }

    /** Queues one frame. */
    void frame(byte[] head, byte[] attachment) {
        frame(new Frame(head, attachment));
    }

    void frame(byte[] head) {
        frame(new Frame(head));
    }

    void frame(Frame frame) {
        synchronized (this) {
            if (closed) return;
            frames.add(frame);
            bytes += frame.bytes();
        }
        wake.run();
    }

    /** Puts a body that has something to send into the round. */
    void ready(Outgoing body) {
        synchronized (this) {
            if (closed) return;
            ready.add(body);
        }
        wake.run();
    }

    /** Brings the loop to turn, though there is nothing to write. */
    void wake() {
        wake.run();
    }

    /** Takes the next turn. */
    synchronized void turn(Queue<Frame> into) {
        into.addAll(frames);
        frames.clear();
        bytes = 0;
        int chunks = 0;
        while (chunks < TURN_CHUNK_BYTES && !ready.isEmpty()) {
            Outgoing body = ready.poll();
            Outgoing.Item item = body.take();
            if (item.frame() != null) {
                into.add(item.frame());
                chunks += item.frame().bytes();
            }
            if (item.more()) ready.add(body);
        }
    }

    synchronized boolean isEmpty() {
        return frames.isEmpty() && ready.isEmpty();
    }

    /** Bytes of frames that wait; chunks of bodies wait under their own bounds. */
    synchronized long bytes() {
        return bytes;
    }

    /** The connection is gone: what waits is dropped, and so is what comes later. Gives what was dropped. */
    synchronized List<Frame> close() {
        closed = true;
        List<Frame> dropped = List.copyOf(frames);
        frames.clear();
        ready.clear();
        bytes = 0;
        return dropped;
    }
}

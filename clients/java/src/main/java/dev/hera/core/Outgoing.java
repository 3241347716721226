package dev.hera.core;

import dev.hera.protocol.Frame;
import dev.hera.protocol.Heads;
import dev.hera.protocol.Limits;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A body on its way out, under the other side's credit (P-38 to P-42). Its writer waits while 256 KiB wait here.
 *
 * <p>The writer puts in, the {@link Outlet} takes out, and the session brings credit, or word that nobody reads on.
 */
final class Outgoing {
    /** Small against the window, so that bodies take turns; large against a frame's cost. */
    private static final int CHUNK_BYTES = 65_536;

    /** What the outlet gets: a frame or none, and whether there is more right now. */
    record Item(Frame frame, boolean more) {
        static final Item NOTHING = new Item(null, false);
    }

    private final Outlet outlet;
    private final BodyName name;
    private final int chunkBytes;
    private final Runnable over;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition room = lock.newCondition();
    private final ArrayDeque<byte[]> pieces = new ArrayDeque<>();
    private int taken;
    private long queued;
    private long credit;
    private boolean ending;
    private String resetCode;
    private boolean inRound;
    private boolean isOver;
    private String reason = "body is over";

    /**
     * @param attachmentMax largest attachment that the other side takes
     * @param over runs once, when the last of it was taken or nobody reads on; takes no lock of a body
     */
    Outgoing(Outlet outlet, BodyName name, int attachmentMax, Runnable over) {
        this.outlet = outlet;
        this.name = name;
        this.chunkBytes = Math.min(CHUNK_BYTES, attachmentMax);
        this.over = over;
    }

    /**
     * Queues bytes, which are not copied; waits while a window of them waits already.
     *
     * @throws IOException when nobody reads on, or the thread is interrupted
     */
    void write(byte[] bytes) throws IOException {
        if (bytes.length == 0) return;
        lock.lock();
        try {
            while (queued >= Limits.STREAM_WINDOW_BYTES && !isOver) room.await();
            if (isOver) throw new IOException(reason);
            put(bytes);
        } catch (InterruptedException cause) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while the reader of the body was slow");
        } finally {
            lock.unlock();
        }
        offer();
    }

    /** Queues a body that is in memory as it is: nobody has to wait for it. */
    void writeWhole(byte[] bytes) {
        lock.lock();
        try {
            if (!isOver) put(bytes);
            ending = true;
        } finally {
            lock.unlock();
        }
        offer();
    }

    private void put(byte[] bytes) {
        pieces.add(bytes);
        queued += bytes.length;
    }

    /** All was written. */
    void end() {
        lock.lock();
        try {
            ending = true;
        } finally {
            lock.unlock();
        }
        offer();
    }

    /** Ends it unfinished: the other side sees an error (P-40). */
    void reset(String code) {
        lock.lock();
        try {
            if (isOver || ending || resetCode != null) return;
            resetCode = code;
            pieces.clear();
            queued = 0;
        } finally {
            lock.unlock();
        }
        offer();
    }

    /** Lets more of it go. Gives false when the credit is more than can be (P-39). */
    boolean credit(long bytes) {
        lock.lock();
        try {
            credit += bytes;
            if (credit > Integer.MAX_VALUE) return false;
        } finally {
            lock.unlock();
        }
        offer();
        return true;
    }

    /** Nobody reads on: the other side reset it, or the call or the connection is gone. */
    void close(String why) {
        lock.lock();
        try {
            if (isOver) return;
            isOver = true;
            reason = why;
            pieces.clear();
            queued = 0;
            room.signalAll();
        } finally {
            lock.unlock();
        }
        over.run();
    }

    boolean isOver() {
        lock.lock();
        try {
            return isOver;
        } finally {
            lock.unlock();
        }
    }

    private void offer() {
        lock.lock();
        try {
            if (inRound || !isReady()) return;
            inRound = true;
        } finally {
            lock.unlock();
        }
        outlet.ready(this);
    }

    private boolean isReady() {
        if (isOver) return false;
        return resetCode != null || (queued > 0 ? credit > 0 : ending);
    }

    /** The next frame of it; called by the outlet alone. */
    Item take() {
        boolean last;
        Frame frame;
        boolean more;
        lock.lock();
        try {
            inRound = false;
            if (!isReady()) return Item.NOTHING;
            last = resetCode != null || queued == 0;
            if (last) {
                frame = lastFrame();
                isOver = true;
                room.signalAll();
            } else {
                frame = new Frame(name.notification("chunk", Heads.NO_MEMBERS), chunk());
                if (queued < Limits.STREAM_WINDOW_BYTES) room.signalAll();
            }
            more = isReady();
            inRound = more;
        } finally {
            lock.unlock();
        }
        if (last) over.run();
        return new Item(frame, more);
    }

    private Frame lastFrame() {
        if (resetCode == null) return new Frame(name.notification("end", Heads.NO_MEMBERS));
        return new Frame(name.notification("reset", json -> json.writeStringField("code", resetCode)));
    }

    private byte[] chunk() {
        byte[] first = pieces.peek();
        int length = (int) Math.min(Math.min(first.length - taken, chunkBytes), credit);
        byte[] chunk = first;
        if (length < first.length) {
            chunk = new byte[length];
            System.arraycopy(first, taken, chunk, 0, length);
        }
        taken += length;
        if (taken == first.length) {
            pieces.poll();
            taken = 0;
        }
        queued -= length;
        credit -= length;
        return chunk;
    }
}

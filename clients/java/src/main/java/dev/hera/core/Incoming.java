package dev.hera.core;

import dev.hera.protocol.Limits;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A body on its way in, under the credit that we grant (P-38 to P-40). At most its attachment and one window of 256 KiB wait here.
 *
 * <p>The loop puts in, a handler reads; the first read that has to wait grants the window, and what was read is granted again.
 */
final class Incoming extends InputStream {
    /** Bytes that are worth a grant of their own; less is gathered while other bytes wait. */
    private static final int GRANT_BYTES_MIN = Limits.STREAM_WINDOW_BYTES / 4;

    private final Outlet outlet;
    private final BodyName name;
    private final Runnable over;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<byte[]> pieces = new ArrayDeque<>();
    private int taken;
    /** Bytes of the attachment that were not read yet: they needed no credit, and give none back. */
    private long attached;
    private long granted;
    private long owed;
    private boolean opened;
    private boolean isOver;
    private String failure;

    /**
     * @param attachment how it begins
     * @param over runs once, when it ended in whatever way on the wire; takes no lock of a body
     */
    Incoming(Outlet outlet, BodyName name, byte[] attachment, Runnable over) {
        this.outlet = outlet;
        this.name = name;
        this.over = over;
        if (attachment.length > 0) pieces.add(attachment);
        attached = attachment.length;
    }

    /** Takes a chunk in. Gives false when it is more than was granted: the other side broke P-39. */
    boolean push(byte[] chunk) {
        lock.lock();
        try {
            if (chunk.length > granted) return false;
            granted -= chunk.length;
            // Chunks that cross our reset on the way are within their grant, and nobody reads them.
            if (!isOver) {
                pieces.add(chunk);
                changed.signalAll();
            }
            return true;
        } finally {
            lock.unlock();
        }
    }

    /** It ended well. */
    void end() {
        finish(null);
    }

    /** The sender, or what carried it, gave up: the reader sees an error and never an end (P-40). */
    void fail(String why) {
        finish(why);
    }

    /** We want no more of it. */
    void stop() {
        if (finish("body was closed")) {
            outlet.frame(name.notification("reset", json -> json.writeStringField("code", "cancelled")));
        }
    }

    private boolean finish(String why) {
        lock.lock();
        try {
            if (isOver) return false;
            isOver = true;
            failure = why;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        over.run();
        return true;
    }

    boolean isOver() {
        lock.lock();
        try {
            return isOver;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int from, int length) throws IOException {
        if (length == 0) return 0;
        long grant = 0;
        int count;
        lock.lock();
        try {
            while (pieces.isEmpty() && !isOver) {
                if (opened) changed.await();
                else grantWindow();
            }
            if (failure != null) throw new IOException(failure);
            if (pieces.isEmpty()) return -1;
            count = copy(into, from, length);
            if (opened && !isOver && (owed >= GRANT_BYTES_MIN || granted == 0 && owed > 0)) grant = take();
        } catch (InterruptedException cause) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while waiting for the body");
        } finally {
            lock.unlock();
        }
        if (grant > 0) send(grant);
        return count;
    }

    @Override
    public int available() {
        lock.lock();
        try {
            return pieces.isEmpty() ? 0 : pieces.peek().length - taken;
        } finally {
            lock.unlock();
        }
    }

    /** No more of it is wanted; the sender is told. */
    @Override
    public void close() {
        stop();
    }

    private int copy(byte[] into, int from, int length) {
        byte[] piece = pieces.peek();
        int count = Math.min(length, piece.length - taken);
        System.arraycopy(piece, taken, into, from, count);
        taken += count;
        if (taken == piece.length) {
            pieces.poll();
            taken = 0;
        }
        long ofAttachment = Math.min(attached, count);
        attached -= ofAttachment;
        owed += count - ofAttachment;
        return count;
    }

    private long take() {
        long bytes = owed;
        owed = 0;
        granted += bytes;
        return bytes;
    }

    /** Lets go of the lock while the outlet's is taken: the outlet asks for a body's lock under its own. */
    private void grantWindow() {
        opened = true;
        granted += Limits.STREAM_WINDOW_BYTES;
        lock.unlock();
        try {
            send(Limits.STREAM_WINDOW_BYTES);
        } finally {
            lock.lock();
        }
    }

    private void send(long bytes) {
        outlet.frame(name.notification("credit", json -> json.writeNumberField("bytes", bytes)));
    }
}

package dev.hera.core;

import java.util.ArrayDeque;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A bounded pool of threads. What it takes runs at once or as soon as the processor has room for one more thread: it takes no more than it has
 * threads for, so nothing ever waits for a handler that blocks.
 *
 * <p>One thread at a time is being woken; once it runs it wakes the next, if there is still something to do. So short handlers are run by as
 * many threads as there are processors, and those that block get as many as they need; a wake-up for each call would cost more than a short
 * handler does.
 */
final class HandlerPool implements Handlers {
    private static final long KEEP_NANOS = 10_000_000_000L;

    private final int most;
    private final AtomicInteger names = new AtomicInteger();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition work = lock.newCondition();
    private final ArrayDeque<Runnable> waiting = new ArrayDeque<>();
    private int taken;
    private int threads;
    private int idle;
    private boolean waking;

    /** @param most handlers at once */
    HandlerPool(int most) {
        this.most = most;
    }

    @Override
    public Optional<Integer> most() {
        return Optional.of(most);
    }

    @Override
    public boolean execute(Runnable handler) {
        lock.lock();
        try {
            if (taken >= most) return false;
            taken++;
            waiting.add(handler);
            wakeOne();
            if (threads > 0) return true;
            // The system gives no thread, and there is none that would come to it.
            waiting.clear();
            taken--;
            return false;
        } finally {
            lock.unlock();
        }
    }

    /** Threads that there are. */
    int threads() {
        lock.lock();
        try {
            return threads;
        } finally {
            lock.unlock();
        }
    }

    private void wakeOne() {
        if (waking || waiting.isEmpty()) return;
        if (idle > 0) {
            waking = true;
            work.signal();
        } else if (threads < most) {
            startOne();
        }
    }

    private void startOne() {
        Thread thread = new Thread(this::run, "hera-handler-" + names.incrementAndGet());
        thread.setDaemon(true);
        try {
            thread.start();
        } catch (OutOfMemoryError noThread) {
            // The system is at its limit: those that there are have to do.
            return;
        }
        waking = true;
        threads++;
    }

    private void run() {
        for (Runnable handler = next(true); handler != null; handler = next(false)) {
            try {
                handler.run();
            } catch (RuntimeException | Error defect) {
                // A thread that died of it would be missing.
                Thread thread = Thread.currentThread();
                thread.getUncaughtExceptionHandler().uncaughtException(thread, defect);
            } finally {
                done();
            }
        }
    }

    private void done() {
        lock.lock();
        try {
            taken--;
        } finally {
            lock.unlock();
        }
    }

    /** The next handler; null when this thread is not needed any more. */
    private Runnable next(boolean woken) {
        lock.lock();
        try {
            boolean wasWoken = woken;
            long left = KEEP_NANOS;
            while (waiting.isEmpty()) {
                if (wasWoken) waking = false;
                wasWoken = false;
                if (left <= 0) {
                    threads--;
                    return null;
                }
                idle++;
                try {
                    left = work.awaitNanos(left);
                } catch (InterruptedException strayed) {
                    // An interrupt that was meant for a call that is over.
                } finally {
                    idle--;
                }
                wasWoken = waking;
            }
            if (wasWoken) waking = false;
            Runnable handler = waiting.poll();
            wakeOne();
            return handler;
        } finally {
            lock.unlock();
        }
    }
}

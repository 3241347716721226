package dev.hera.testkit;

import java.time.Duration;
import java.util.concurrent.Callable;

/** Waits for what nobody tells us of. */
public final class Until {
    /** Far beyond what anything here takes; it is there so that a hang says where it is. */
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private Until() {}

    public static void until(String what, Callable<Boolean> holds) {
        long from = System.nanoTime();
        try {
            while (!holds.call()) {
                if (System.nanoTime() - from > PATIENCE.toNanos()) throw new AssertionError("still not so: " + what);
                Thread.sleep(5);
            }
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        } catch (Exception cause) {
            throw new AssertionError("not to be known: " + what, cause);
        }
    }
}

package dev.hera.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.Until;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class HandlerPoolTest {
    @Test
    void as_many_handlers_run_at_once_as_may_and_no_more_is_taken() throws InterruptedException {
        HandlerPool pool = new HandlerPool(8);
        CountDownLatch all = new CountDownLatch(8);
        CountDownLatch release = new CountDownLatch(1);

        for (int i = 0; i < 8; i++) {
            assertTrue(pool.execute(() -> {
                all.countDown();
                await(release);
            }));
        }
        // Each blocks, and none waits for another.
        all.await();
        assertFalse(pool.execute(() -> {}));

        release.countDown();
        Until.until("there is room", () -> pool.execute(() -> {}));
    }

    @Test
    void everything_that_was_taken_runs_once_whoever_throws() {
        HandlerPool pool = new HandlerPool(4);
        AtomicInteger runs = new AtomicInteger();
        int taken = 0;
        while (taken < 20_000) {
            boolean throwing = taken % 5_000 == 0;
            boolean accepted = pool.execute(() -> {
                runs.incrementAndGet();
                if (throwing) throw new AssertionError("on purpose");
            });
            if (accepted) taken++;
        }
        Until.until("all ran", () -> runs.get() == 20_000);
        assertEquals(20_000, runs.get());
        assertTrue(pool.threads() <= 4, pool.threads() + " threads");
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }
}

package dev.hera.core;

import java.lang.reflect.InvocationTargetException;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;

/** Threads that handlers run on. */
interface Handlers {
    /** Runs this soon. Gives false when as many run as may; nothing was kept then. */
    boolean execute(Runnable handler);

    /** Calls that can run at once; nothing where there is no bound. */
    Optional<Integer> most();

    /** Virtual threads where the JVM has them and they are wanted, else a bounded pool. */
    static Handlers of(boolean virtual, int threads) {
        Optional<Executor> each = virtual ? virtualThreads() : Optional.empty();
        return each.<Handlers>map(VirtualHandlers::new).orElseGet(() -> new HandlerPool(threads));
    }

    /** By reflection, since this is compiled for Java 17 and virtual threads came with 21. */
    private static Optional<Executor> virtualThreads() {
        try {
            return Optional.of((Executor) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null));
        } catch (NoSuchMethodException | IllegalAccessException | InvocationTargetException none) {
            return Optional.empty();
        }
    }

    /** A virtual thread for each call; their number is bounded by the calls in flight. */
    record VirtualHandlers(Executor executor) implements Handlers {
        @Override
        public boolean execute(Runnable handler) {
            executor.execute(handler);
            return true;
        }

        @Override
        public Optional<Integer> most() {
            return Optional.empty();
        }
    }
}

package dev.hera;

/** Runs before or after the handlers of all endpoints, on the same thread: {@link Routing#before}, {@link Routing#after}. */
@FunctionalInterface
public interface Filter {
    /**
     * Looks at a call, or at its answer. Before a handler: one that answers, or throws, keeps the handler from running.
     *
     * @param ctx the call
     * @throws Exception anything: see {@link Routing#exception}
     */
    void filter(Context ctx) throws Exception;
}

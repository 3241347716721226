package dev.hera;

/**
 * Turns an exception of a handler or a filter into an answer.
 *
 * @param <E> the exceptions that it takes, and all under it
 */
@FunctionalInterface
public interface ExceptionHandler<E extends Throwable> {
    /**
     * Answers a call whose handler threw; what the handler had answered is forgotten.
     *
     * @param exception what was thrown
     * @param ctx the call
     * @throws Exception anything: the call is then {@code handler_failed}
     */
    void handle(E exception, Context ctx) throws Exception;
}

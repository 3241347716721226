package dev.hera;

import java.util.concurrent.CompletionStage;

/**
 * Answers calls of one endpoint. It may block; whatever it throws, an {@code Error} too, costs its own call alone.
 *
 * <p>It runs on a thread of its own (a virtual one where the JVM has them), with the request id in the MDC as {@code request_id}. When the
 * caller leaves or the deadline passes, that thread is interrupted and {@link Context#cancelled()} is true. A handler that answers
 * nothing is answered 204.
 */
@FunctionalInterface
public interface Handler {
    /**
     * Answers one call.
     *
     * @param ctx the call; not to be used by several threads at once
     * @throws Exception anything: see {@link Routing#exception}
     */
    void handle(Context ctx) throws Exception;

    /**
     * A handler that gives its thread back before it has answered.
     *
     * <p>The call is answered when the stage completes, with what was put into the context until then; a stage that fails is as a handler
     * that throws. When the call is cancelled, the stage is cancelled too, as far as {@code toCompletableFuture().cancel(true)} does that.
     *
     * @param handler begins to answer
     * @return a handler for {@link Routing#get} and the like
     */
    static Handler async(Async handler) {
        return ctx -> ctx.answerWith(handler.handle(ctx));
    }

    /** Begins to answer a call, and says when it is answered. */
    @FunctionalInterface
    interface Async {
        /**
         * Begins to answer one call.
         *
         * @param ctx the call
         * @return completes when the answer stands in the context; its value is not looked at
         * @throws Exception anything
         */
        CompletionStage<?> handle(Context ctx) throws Exception;
    }
}

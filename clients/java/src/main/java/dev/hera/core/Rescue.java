package dev.hera.core;

import dev.hera.ExceptionHandler;
import dev.hera.HeraException;
import dev.hera.protocol.Code;
import dev.hera.protocol.Json;
import java.io.IOException;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.slf4j.Logger;

/**
 * Where what application code throws becomes an answer: the only such place. A {@link HeraException} with a status is told to the caller; the text of
 * anything else goes to the log alone, since who calls must not learn what broke.
 */
final class Rescue {
    private static final Set<Integer> PASSED_ON = Set.of(503, 504, 508);

    private final Routes routes;
    private final Logger log;

    Rescue(Routes routes, Logger log) {
        this.routes = routes;
        this.log = log;
    }

    /** Puts an answer into the context in place of what stands there, or fails the call. */
    void answer(CallContext ctx, Throwable thrown) {
        Throwable cause = bare(thrown);
        // A handler that stopped because its caller left did what it was asked to. At the deadline the broker has its own word for the caller, and
        // its cancel is on the way.
        if (ctx.cancelled() && isWordOfCancel(cause)) {
            ctx.answer().stop();
            return;
        }
        if (!ctx.answer().forget()) {
            failed(ctx, cause);
            return;
        }
        Optional<ExceptionHandler<Throwable>> handler = routes.exceptionHandler(cause);
        if (handler.isPresent()) {
            try {
                handler.get().handle(cause, ctx);
            } catch (Throwable second) {
                if (second != cause) second.addSuppressed(cause);
                failed(ctx, second);
            }
        } else if (cause instanceof HeraException failed && failed.executed().isPresent()) {
            callFailed(ctx, failed);
        } else if (cause instanceof HeraException known && known.status().isPresent()) {
            problem(ctx, known.status().get(), known.code(), known.getMessage());
        } else {
            failed(ctx, cause);
        }
    }

    /** Fails the call: {@code handler_failed}, or an answer that is cut short where one was begun. */
    void failed(CallContext ctx, Throwable thrown) {
        log.error("{} ({}) failed", ctx.endpoint(), ctx.requestId(), thrown);
        ctx.answer().cut();
        ctx.call().fail(Code.HANDLER_FAILED, "the handler failed; its log tells why");
    }

    /** A body that nobody will read was set, the second of its call. */
    void answeredTwice(CallContext ctx) {
        log.warn("{} ({}) was answered twice (answered_twice); the second answer is dropped", ctx.endpoint(), ctx.requestId());
    }

    /** A call to another service that nobody answered: of its status only what says that another try may help is ours to pass on. */
    private void callFailed(CallContext ctx, HeraException failed) {
        log.error("{} ({}) failed", ctx.endpoint(), ctx.requestId(), failed);
        int status = failed.status().filter(PASSED_ON::contains).orElse(502);
        failed.retryAfter().ifPresent(wait -> ctx.header("retry-after", Long.toString(wait.toSeconds())));
        problem(ctx, status, "call_failed", "a service that this one asks did not answer");
    }

    private static void problem(CallContext ctx, int status, String code, String detail) {
        byte[] body = Json.object(json -> {
            json.writeStringField("type", "about:blank");
            json.writeNumberField("status", status);
            json.writeStringField("code", code);
            json.writeStringField("detail", detail);
            json.writeStringField("request_id", ctx.requestId());
        });
        ctx.status(status).header("content-type", "application/problem+json").bytes(body);
    }

    private static Throwable bare(Throwable thrown) {
        Throwable bare = thrown;
        while ((bare instanceof CompletionException || bare instanceof ExecutionException) && bare.getCause() != null) {
            bare = bare.getCause();
        }
        return bare;
    }

    private static boolean isWordOfCancel(Throwable thrown) {
        return thrown instanceof InterruptedException
                || thrown instanceof CancellationException
                || thrown instanceof IOException
                || thrown instanceof HeraException known && known.code().equals(Code.CANCELLED.text());
    }
}

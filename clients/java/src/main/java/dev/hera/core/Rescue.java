package dev.hera.core;

import dev.hera.ExceptionHandler;
import dev.hera.HeraException;
import dev.hera.protocol.Code;
import dev.hera.protocol.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.slf4j.Logger;

/**
 * Where what application code throws becomes an answer: the only such place. A {@link HeraException} with a status is told to the caller; the text of
 * anything else goes to the log alone, since who calls must not learn what broke.
 */
final class Rescue {
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
            ctx.stop();
            return;
        }
        if (!ctx.forget()) {
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
        } else if (cause instanceof HeraException known && known.status().isPresent() && known.executed().isEmpty()) {
            // One of a call to another service is no word to our caller: its status speaks of that call.
            problem(ctx, known.status().get(), known);
        } else {
            failed(ctx, cause);
        }
    }

    /** Fails the call: {@code handler_failed}, or an answer that is cut short where one was begun. */
    void failed(CallContext ctx, Throwable thrown) {
        log.error("{} ({}) failed", ctx.endpoint(), ctx.requestId(), thrown);
        ctx.cut();
        ctx.call().fail(Code.HANDLER_FAILED, "the handler failed; its log tells why");
    }

    /** A body that nobody will read was set, the second of its call. */
    void answeredTwice(CallContext ctx) {
        log.warn("{} ({}) was answered twice (answered_twice); the second answer is dropped", ctx.endpoint(), ctx.requestId());
    }

    private static void problem(CallContext ctx, int status, HeraException known) {
        byte[] body = Json.object(json -> {
            json.writeStringField("type", "about:blank");
            json.writeNumberField("status", status);
            json.writeStringField("code", known.code());
            json.writeStringField("detail", known.getMessage());
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

    /** What is written where text is asked for. */
    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}

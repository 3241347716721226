package dev.hera.core;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.Filter;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import org.slf4j.Logger;
import org.slf4j.MDC;

/**
 * The way of one call through application code, in this order: filters before, the handler, filters after, the answer. What any of them throws
 * goes to the {@link Rescue}.
 */
final class FilterChain {
    private static final String REQUEST_ID = "request_id";

    private final Routes routes;
    private final ObjectMapper mapper;
    private final Rescue rescue;
    private final RemoteCaller remote;

    FilterChain(Routes routes, ObjectMapper mapper, RemoteCaller remote, Logger log) {
        this.routes = routes;
        this.mapper = mapper;
        this.remote = remote;
        this.rescue = new Rescue(routes, log);
    }

    /** Runs a call on this thread; an answer that comes later is sent by the thread that completes its stage. */
    void run(Call call) {
        CallContext ctx = new CallContext(call, mapper, rescue, remote);
        MDC.put(REQUEST_ID, call.params().requestId());
        try {
            handle(ctx);
            Optional<CompletionStage<?>> stage = ctx.stage();
            if (stage.isEmpty()) finish(ctx);
            else if (call.continueWith(stage.get())) stage.get().whenComplete((ignored, failure) -> later(ctx, failure));
            else call.handled();
        } finally {
            MDC.remove(REQUEST_ID);
        }
    }

    private void handle(CallContext ctx) {
        try {
            for (Filter filter : routes.beforeFilters()) {
                filter.filter(ctx);
                if (ctx.answered() || ctx.stage().isPresent()) return;
            }
            ctx.call().endpoint().handler().handle(ctx);
        } catch (Throwable thrown) {
            // An Error too: a handler's must cost its call and nothing else.
            ctx.forgetStage();
            rescue.answer(ctx, thrown);
        }
    }

    private void later(CallContext ctx, Throwable failure) {
        MDC.put(REQUEST_ID, ctx.requestId());
        try {
            if (failure != null) rescue.answer(ctx, failure);
            finish(ctx);
        } finally {
            MDC.remove(REQUEST_ID);
        }
    }

    private void finish(CallContext ctx) {
        try {
            for (Filter filter : routes.afterFilters()) filter.filter(ctx);
        } catch (Throwable thrown) {
            rescue.answer(ctx, thrown);
        }
        try {
            if (ctx.answer().stopped() || ctx.call().isClosed()) ctx.answer().cut();
            else ctx.answer().send();
        } catch (Throwable thrown) {
            rescue.failed(ctx, thrown);
        } finally {
            ctx.call().handled();
        }
    }
}

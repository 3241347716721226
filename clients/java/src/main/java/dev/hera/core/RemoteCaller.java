package dev.hera.core;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.CallOptions;
import dev.hera.Caller;
import dev.hera.Headers;
import dev.hera.HeraException;
import dev.hera.Result;
import dev.hera.protocol.CallParams;
import dev.hera.protocol.Failure;
import dev.hera.protocol.Frame;
import dev.hera.protocol.Json;
import dev.hera.protocol.Limits;
import dev.hera.protocol.ReplyRules;
import java.io.IOException;
import java.io.InputStream;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;

/** Makes calls to other services: chooses a broker, and another where that is safe (P-50 to P-56). Safe from any thread; each call keeps its own waiting. */
final class RemoteCaller {
    private static final Set<String> IDEMPOTENT = Set.of("GET", "HEAD", "OPTIONS", "PUT", "DELETE");
    /** How long after its deadline an answer is still waited for: the broker's own word on it is better than ours. */
    private static final long GRACE_NANOS = 500_000_000L;
    private static final int PIECE_BYTES = 65_536;

    private final Supplier<List<Session>> sessions;
    private final ObjectMapper mapper;

    RemoteCaller(Supplier<List<Session>> sessions, ObjectMapper mapper) {
        this.sessions = sessions;
        this.mapper = mapper;
    }

    /** What is asked for. */
    private record Asked(String method, String target, CallOptions options, Optional<byte[]> body, Optional<Call> within) {
        boolean repeatable() {
            return IDEMPOTENT.contains(method) && options.streamBody().isEmpty();
        }

        /** Monotonic nanoseconds by which it has to be answered. */
        long deadline(long now) {
            long own = now + options.timeout().map(each -> each.toNanos()).orElse(Limits.TIMEOUT_MS_MAX * 1_000_000L);
            return within.map(call -> own - call.deadline() < 0 ? own : call.deadline()).orElse(own);
        }

        boolean isLimited() {
            return options.timeout().isPresent() || within.isPresent();
        }
    }

    /**
     * Calls, and waits for the answer.
     *
     * @param endpoint {@code METHOD /path?query}
     * @param within the call that this one is made for
     */
    Result call(String endpoint, CallOptions options, Optional<Call> within) {
        Asked asked = asked(endpoint, options, within);
        long deadline = asked.deadline(System.nanoTime());
        Set<Session> tried = new HashSet<>();
        Optional<HeraException> noWorker = Optional.empty();
        boolean repeated = false;
        // Once a broker was lost that may have had it, what a later one says of its own try is not the whole story.
        boolean handedOver = false;
        while (true) {
            Optional<Session> session = choose(tried);
            if (session.isEmpty()) {
                HeraException none = noWorker.orElseGet(() -> failed("no_broker", 503, "no", "no broker is connected that takes calls", asked));
                throw handedOver ? none.thatMayHaveRun() : none;
            }
            tried.add(session.get());
            RemoteCall.Outcome outcome = attempt(session.get(), asked, deadline);
            if (outcome instanceof RemoteCall.Outcome.Answered answered) return result(answered, asked);
            if (outcome instanceof RemoteCall.Outcome.Late late) {
                throw failed("deadline_exceeded", 504, late.handedOver() || handedOver ? "maybe" : "no", "no answer came before the deadline", asked);
            }
            if (outcome instanceof RemoteCall.Outcome.Lost lost) {
                boolean again = !lost.handedOver() || asked.repeatable();
                handedOver |= lost.handedOver();
                if (repeated || !again) {
                    throw failed("broker_lost", 502, handedOver ? "maybe" : "no", "connection ended before the answer", asked);
                }
                repeated = true;
            } else if (outcome instanceof RemoteCall.Outcome.Broken broken) {
                throw new HeraException("body_reset", "body of the call cannot be read: " + broken.cause(), broken.cause());
            } else if (outcome instanceof RemoteCall.Outcome.Failed failed) {
                HeraException said = error(failed.failure(), asked);
                HeraException error = handedOver ? said.thatMayHaveRun() : said;
                boolean canGoOn = error.code().equals("no_worker") && asked.options().streamBody().isEmpty();
                if (!canGoOn) throw error;
                noWorker = Optional.of(error);
            }
        }
    }

    private Asked asked(String endpoint, CallOptions options, Optional<Call> within) {
        int space = endpoint.indexOf(' ');
        if (space < 1 || !endpoint.startsWith("/", space + 1) || !ReplyRules.isName(endpoint.substring(0, space))) {
            throw new IllegalArgumentException("call is not `METHOD /path?query`");
        }
        Optional<byte[]> body = options.bytesBody().or(() -> options.jsonBody().map(this::json));
        return new Asked(endpoint.substring(0, space), endpoint.substring(space + 1), options, body, within);
    }

    private byte[] json(Object value) {
        try {
            return mapper.writeValueAsBytes(value);
        } catch (JsonProcessingException cause) {
            throw new IllegalArgumentException("body of the call cannot be written as JSON", cause);
        }
    }

    /** One that was not tried; one that drains only where there is no other (P-56). */
    private Optional<Session> choose(Set<Session> tried) {
        List<Session> open = sessions.get().stream().filter(Session::takesCalls).filter(each -> !tried.contains(each)).toList();
        List<Session> staying = open.stream().filter(each -> !each.brokerDrains()).toList();
        List<Session> from = staying.isEmpty() ? open : staying;
        return from.isEmpty() ? Optional.empty() : Optional.of(from.get(ThreadLocalRandom.current().nextInt(from.size())));
    }

    private RemoteCall.Outcome attempt(Session session, Asked asked, long deadline) {
        // Rounded up: the deadline of the call within which this one is made comes first, and its caller is told by its own broker.
        long left = (deadline - System.nanoTime() + 999_999) / 1_000_000;
        if (left < 1) return new RemoteCall.Outcome.Late(false);
        byte[] whole = asked.body().orElse(Frame.NOTHING);
        boolean more = asked.options().streamBody().isPresent() || whole.length > session.attachmentMax();
        Optional<RemoteCall> begun = session.call(params(asked, asked.isLimited() ? Math.min(left, Limits.TIMEOUT_MS_MAX) : 0, more), more ? Frame.NOTHING : whole, more);
        if (begun.isEmpty()) throw failed("overloaded", 503, "no", "as many calls are in flight as the broker takes", asked);
        RemoteCall call = begun.get();
        try {
            if (asked.options().streamBody().isPresent()) pump(call, asked.options().streamBody().get());
            else if (more) call.sending().orElseThrow().writeWhole(whole);
            return call.await(deadline + GRACE_NANOS);
        } catch (InterruptedException cause) {
            Thread.currentThread().interrupt();
            HeraException cancelled = failed("cancelled", 0, "maybe", "interrupted while waiting for the answer", asked);
            cancelled.initCause(cause);
            throw cancelled;
        }
    }

    /** On a thread of its own: an answer may come, and have to be read, before the body is sent (P-41). */
    private static void pump(RemoteCall call, InputStream from) {
        Thread thread = new Thread(() -> send(call, from), "hera-body");
        thread.setDaemon(true);
        thread.start();
    }

    private static void send(RemoteCall call, InputStream stream) {
        Outgoing body = call.sending().orElseThrow();
        try (InputStream from = stream) {
            byte[] piece = from.readNBytes(PIECE_BYTES);
            while (piece.length > 0 && !body.isOver()) {
                body.write(piece);
                piece = from.readNBytes(PIECE_BYTES);
            }
            body.end();
        } catch (IOException | RuntimeException cause) {
            // Nobody reads on, and the answer says why; else it is the stream that failed, and the other side has to see that.
            if (!body.isOver()) call.broken(cause);
        }
    }

    private static Json.Members params(Asked asked, long timeoutMs, boolean more) {
        return json -> {
            json.writeStringField("method", asked.method());
            json.writeStringField("target", asked.target());
            json.writeArrayFieldStart("headers");
            boolean typed = asked.options().headers().first("content-type").isPresent();
            if (asked.options().jsonBody().isPresent() && !typed) pair(json, "content-type", "application/json");
            for (Map.Entry<String, String> header : asked.options().headers()) pair(json, header.getKey(), header.getValue());
            json.writeEndArray();
            if (asked.within().isPresent()) within(json, asked.within().get().params());
            if (timeoutMs > 0) json.writeNumberField("timeout_ms", timeoutMs);
            if (more) json.writeBooleanField("more", true);
        };
    }

    private static void pair(JsonGenerator json, String name, String value) throws IOException {
        json.writeStartArray();
        json.writeString(name);
        json.writeString(value);
        json.writeEndArray();
    }

    /** What is handed on of the call within which this one is made. */
    private static void within(JsonGenerator json, CallParams params) throws IOException {
        json.writeStringField("request_id", params.requestId());
        Caller caller = params.caller();
        json.writeObjectFieldStart("caller");
        if (caller.token().isPresent()) json.writeStringField("token", caller.token().get());
        else json.writeNullField("token");
        json.writeObjectFieldStart("labels");
        for (Map.Entry<String, String> label : caller.labels().entrySet()) json.writeStringField(label.getKey(), label.getValue());
        json.writeEndObject();
        json.writeStringField("ip", caller.ip());
        json.writeEndObject();
        if (params.trace().isPresent()) {
            json.writeObjectFieldStart("trace");
            json.writeStringField("traceparent", params.trace().get().traceparent());
            if (params.trace().get().tracestate().isPresent()) json.writeStringField("tracestate", params.trace().get().tracestate().get());
            json.writeEndObject();
        }
        json.writeArrayFieldStart("chain");
        for (String name : params.chainWithin()) json.writeString(name);
        json.writeEndArray();
    }

    private Result result(RemoteCall.Outcome.Answered answered, Asked asked) {
        Headers.Builder headers = Headers.builder();
        answered.result().path("headers").forEach(pair -> headers.add(pair.path(0).asText(), pair.path(1).asText()));
        String worker = answered.result().path("meta").path("worker").asText("");
        int status = answered.result().path("status").asInt();
        RemoteResult result = new RemoteResult(status, headers.build(), worker, answered.body(), asked.options().bodyBytesMax(), mapper);
        asked.within().ifPresent(call -> call.closeWhenHandled(result));
        return result;
    }

    private static HeraException error(Failure failure, Asked asked) {
        String executed = failure.data().path("executed").asText("no");
        String id = failure.data().path("request_id").asText(requestId(asked));
        return HeraException.ofCall(failure.code(), failure.shortMessage(), failure.data().path("status").asInt(), executed, id, failure.data().path("retry_after").asInt());
    }

    private static HeraException failed(String code, int status, String executed, String message, Asked asked) {
        return HeraException.ofCall(code, "call of " + asked.method() + " " + path(asked.target()) + ": " + message, status, executed, requestId(asked), 0);
    }

    /** A query may hold what a log must not. */
    private static String path(String target) {
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }

    private static String requestId(Asked asked) {
        return asked.within().map(call -> call.params().requestId()).orElse("");
    }
}

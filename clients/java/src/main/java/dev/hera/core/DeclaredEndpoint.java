package dev.hera.core;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.hera.Endpoint;
import dev.hera.Handler;
import dev.hera.HeraException;
import dev.hera.Routing;
import dev.hera.protocol.EndpointPattern;
import dev.hera.protocol.Limits;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/** One endpoint with its limits and its handler, as it is declared (P-28). */
final class DeclaredEndpoint implements Endpoint {
    private static final long BODY_BYTES_MOST = 1L << 40;
    private static final long BODY_BYTES_DEFAULT = 1_048_576;
    private static final int CONCURRENCY_MOST = 65_535;
    private static final Set<String> ALWAYS_IDEMPOTENT = Set.of("GET", "HEAD", "OPTIONS", "PUT", "DELETE");

    private final Routes routes;
    private final EndpointPattern pattern;
    private Optional<Long> timeoutMs = Optional.empty();
    private Optional<Long> bodyBytesMax = Optional.empty();
    private Optional<Integer> concurrency = Optional.empty();
    private Optional<Boolean> idempotent = Optional.empty();
    private Optional<List<String>> headers = Optional.empty();
    private Handler handler;

    DeclaredEndpoint(Routes routes, EndpointPattern pattern) {
        this.routes = routes;
        this.pattern = pattern;
    }

    @Override
    public Endpoint timeout(Duration timeout) {
        long ms = timeout.compareTo(Duration.ofDays(1)) > 0 ? Long.MAX_VALUE : timeout.toMillis();
        timeoutMs = Optional.of(within("timeout in ms", ms, 1, Limits.TIMEOUT_MS_MAX));
        return this;
    }

    @Override
    public Endpoint bodyBytesMax(long bytes) {
        bodyBytesMax = Optional.of(within("bodyBytesMax", bytes, 0, BODY_BYTES_MOST));
        return this;
    }

    @Override
    public Endpoint concurrency(int calls) {
        concurrency = Optional.of((int) within("concurrency", calls, 1, CONCURRENCY_MOST));
        return this;
    }

    @Override
    public Endpoint idempotent(boolean idempotent) {
        if (!idempotent && ALWAYS_IDEMPOTENT.contains(pattern.method())) {
            throw bad("idempotent false cannot be: " + pattern.method() + " always is");
        }
        this.idempotent = Optional.of(idempotent);
        return this;
    }

    @Override
    public Endpoint headers(String... names) {
        headers = Optional.of(Stream.of(names).map(name -> name.toLowerCase(Locale.ROOT)).toList());
        return this;
    }

    @Override
    public Routing handle(Handler handler) {
        this.handler = Objects.requireNonNull(handler, "handler");
        return routes.add(this);
    }

    /** As it was declared; calls name it so. */
    String text() {
        return pattern.text();
    }

    String shape() {
        return pattern.shape();
    }

    Handler handler() {
        return handler;
    }

    long bodyLimit() {
        return bodyBytesMax.orElse(BODY_BYTES_DEFAULT);
    }

    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeStringField("endpoint", pattern.text());
        if (timeoutMs.isPresent()) json.writeNumberField("timeout_ms", timeoutMs.get());
        if (bodyBytesMax.isPresent()) json.writeNumberField("body_bytes_max", bodyBytesMax.get());
        if (concurrency.isPresent()) json.writeNumberField("concurrency", concurrency.get());
        if (idempotent.isPresent()) json.writeBooleanField("idempotent", idempotent.get());
        if (headers.isPresent()) {
            json.writeArrayFieldStart("headers");
            for (String name : headers.get()) json.writeString(name);
            json.writeEndArray();
        }
        json.writeEndObject();
    }

    private long within(String name, long value, long least, long most) {
        if (value >= least && value <= most) return value;
        throw bad(name + " " + value + " is not " + least + " to " + most);
    }

    private HeraException bad(String problem) {
        return new HeraException("bad_endpoint", "endpoint `" + pattern.text() + "`: " + problem);
    }
}

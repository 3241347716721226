package dev.hera.core;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.CallOptions;
import dev.hera.Caller;
import dev.hera.Context;
import dev.hera.Headers;
import dev.hera.HeraException;
import dev.hera.Result;
import dev.hera.Trace;
import dev.hera.protocol.CallParams;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/** One call as its handler sees it, on top of {@link Call}. */
final class CallContext implements Context {
    private final Call call;
    private final CallParams params;
    private final ObjectMapper mapper;
    private final Rescue rescue;
    private final RemoteCaller remote;
    private final Answer answer;

    private Optional<Query> query = Optional.empty();
    private Optional<byte[]> whole = Optional.empty();
    private Optional<InputStream> streamed = Optional.empty();
    private Map<String, Object> attributes = Map.of();

    private Optional<CompletionStage<?>> stage = Optional.empty();

    CallContext(Call call, ObjectMapper mapper, Rescue rescue, RemoteCaller remote) {
        this.call = call;
        this.params = call.params();
        this.mapper = mapper;
        this.rescue = rescue;
        this.remote = remote;
        this.answer = new Answer(call);
    }

    Call call() {
        return call;
    }

    // ---- what was asked

    @Override
    public String requestId() {
        return params.requestId();
    }

    @Override
    public String method() {
        return params.method();
    }

    @Override
    public String endpoint() {
        return call.endpoint().text();
    }

    @Override
    public String path() {
        return params.path();
    }

    @Override
    public String target() {
        return params.target();
    }

    @Override
    public String pathParam(String name) {
        String value = params.pathParams().get(name);
        if (value == null) throw new IllegalArgumentException("endpoint " + endpoint() + " has no parameter " + name);
        return value;
    }

    @Override
    public Map<String, String> pathParams() {
        return params.pathParams();
    }

    @Override
    public Optional<String> query() {
        return params.query();
    }

    @Override
    public Optional<String> queryParam(String name) {
        return queryParams(name).stream().findFirst();
    }

    @Override
    public List<String> queryParams(String name) {
        if (query.isEmpty()) query = Optional.of(Query.parse(params.query().orElse("")));
        return query.get().all(name);
    }

    @Override
    public Optional<String> header(String name) {
        return params.headers().first(name);
    }

    @Override
    public Headers headers() {
        return params.headers();
    }

    @Override
    public Caller caller() {
        return params.caller();
    }

    @Override
    public Optional<Trace> trace() {
        return params.trace();
    }

    @Override
    public Instant deadline() {
        return Instant.now().plus(remaining());
    }

    @Override
    public Duration remaining() {
        return Duration.ofNanos(Math.max(0, call.deadline() - System.nanoTime()));
    }

    @Override
    public boolean cancelled() {
        return call.isAborted();
    }

    @Override
    public byte[] bodyBytes() {
        if (whole.isEmpty()) {
            if (streamed.isPresent()) throw new IllegalStateException("body is read as a stream already");
            whole = Optional.of(gather());
        }
        return whole.get();
    }

    private byte[] gather() {
        long most = call.endpoint().bodyLimit();
        byte[] bytes = call.attachment();
        if (call.incoming().isPresent()) {
            try {
                bytes = call.incoming().get().readNBytes((int) Math.min(most + 1, Integer.MAX_VALUE - 8));
            } catch (IOException cause) {
                String code = cancelled() ? "cancelled" : "body_reset";
                throw new HeraException(code, "body did not come: " + cause.getMessage(), cause);
            }
        }
        if (bytes.length <= most) return bytes;
        throw new HeraException(413, "body_too_large", "body exceeds the endpoint's limit of " + most + " bytes");
    }

    @Override
    public String body() {
        return new String(bodyBytes(), StandardCharsets.UTF_8);
    }

    @Override
    public <T> T bodyAs(Class<T> type) {
        return bodyAs(mapper.constructType(type));
    }

    @Override
    public <T> T bodyAs(TypeReference<T> type) {
        return bodyAs(mapper.constructType(type));
    }

    private <T> T bodyAs(JavaType type) {
        try {
            T value = mapper.readValue(bodyBytes(), type);
            if (value != null) return value;
        } catch (JsonProcessingException cause) {
            // Its own text names classes and shows what was sent.
            throw badBody(cause);
        } catch (IOException cause) {
            throw badBody(cause);
        }
        throw badBody(null);
    }

    private static HeraException badBody(Throwable cause) {
        HeraException bad = new HeraException(400, "bad_body", "body is not the JSON that is expected here");
        if (cause != null) bad.initCause(cause);
        return bad;
    }

    @Override
    public InputStream bodyStream() {
        if (whole.isPresent()) throw new IllegalStateException("body is read as a whole already");
        if (streamed.isEmpty()) {
            streamed = call.incoming().isPresent()
                    ? Optional.of(call.incoming().get())
                    : Optional.of(new ByteArrayInputStream(call.attachment()));
        }
        return streamed.get();
    }

    @Override
    public Optional<Object> attribute(String name) {
        return Optional.ofNullable(attributes.get(name));
    }

    @Override
    public Context attribute(String name, Object value) {
        if (attributes.isEmpty()) attributes = new HashMap<>();
        attributes.put(name, Objects.requireNonNull(value, "value"));
        return this;
    }

    @Override
    public Result call(String endpoint, CallOptions options) {
        return remote.call(endpoint, options, Optional.of(call));
    }

    // ---- the answer

    /** What will be sent. */
    Answer answer() {
        return answer;
    }

    @Override
    public Context status(int status) {
        answer.status(status);
        return this;
    }

    @Override
    public int status() {
        return answer.status();
    }

    @Override
    public Context header(String name, String value) {
        answer.setHeader(name, value);
        return this;
    }

    @Override
    public Context addHeader(String name, String value) {
        answer.addHeader(name, value);
        return this;
    }

    @Override
    public Context json(Object value) {
        try {
            return whole(mapper.writeValueAsBytes(value), "application/json");
        } catch (JsonProcessingException cause) {
            throw new IllegalArgumentException("answer cannot be written as JSON", cause);
        }
    }

    @Override
    public Context text(String text) {
        return whole(text.getBytes(StandardCharsets.UTF_8), "text/plain; charset=utf-8");
    }

    @Override
    public Context bytes(byte[] bytes) {
        return whole(bytes, "application/octet-stream");
    }

    private Context whole(byte[] bytes, String type) {
        if (!answer.body(bytes, type)) rescue.answeredTwice(this);
        return this;
    }

    @Override
    public Context stream(InputStream from) {
        if (!answer.source(from)) rescue.answeredTwice(this);
        return this;
    }

    @Override
    public OutputStream outputStream() {
        return answer.output();
    }

    @Override
    public boolean answered() {
        return answer.hasBody();
    }

    @Override
    public void answerWith(CompletionStage<?> stage) {
        this.stage = Optional.of(stage);
    }

    Optional<CompletionStage<?>> stage() {
        return stage;
    }

    void forgetStage() {
        stage = Optional.empty();
    }
}

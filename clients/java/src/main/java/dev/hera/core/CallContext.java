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
import dev.hera.protocol.Limits;
import dev.hera.protocol.ReplyRules;
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
    private static final String CONTENT_TYPE = "content-type";
    private static final String CONTENT_LENGTH = "content-length";

    private final Call call;
    private final CallParams params;
    private final ObjectMapper mapper;
    private final Rescue rescue;
    private final RemoteCaller remote;

    private Optional<Query> query = Optional.empty();
    private Optional<byte[]> whole = Optional.empty();
    private Optional<InputStream> streamed = Optional.empty();
    private Map<String, Object> attributes = Map.of();

    private boolean stopped;
    private int status;
    private Headers.Builder headers = Headers.builder();
    private Optional<byte[]> body = Optional.empty();
    private Optional<InputStream> source = Optional.empty();
    private Optional<BodyOutput> output = Optional.empty();
    private Optional<CompletionStage<?>> stage = Optional.empty();

    CallContext(Call call, ObjectMapper mapper, Rescue rescue, RemoteCaller remote) {
        this.call = call;
        this.params = call.params();
        this.mapper = mapper;
        this.rescue = rescue;
        this.remote = remote;
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

    @Override
    public Context status(int status) {
        if (!ReplyRules.isStatus(status)) throw new IllegalArgumentException("status " + status + " is not 200 to 599, without 425");
        this.status = status;
        return this;
    }

    @Override
    public int status() {
        return status == 0 && answered() ? 200 : status;
    }

    @Override
    public Context header(String name, String value) {
        check(name, value);
        headers.set(name, value);
        return this;
    }

    @Override
    public Context addHeader(String name, String value) {
        check(name, value);
        headers.add(name, value);
        return this;
    }

    private static void check(String name, String value) {
        if (!ReplyRules.isName(name)) throw new IllegalArgumentException("header name is not a token");
        if (!ReplyRules.isValue(value)) {
            throw new IllegalArgumentException("value of header " + name + " has a control byte or a code point over U+00FF");
        }
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
        return whole(Rescue.utf8(text), "text/plain; charset=utf-8");
    }

    @Override
    public Context bytes(byte[] bytes) {
        return whole(Objects.requireNonNull(bytes, "bytes"), "application/octet-stream");
    }

    private Context whole(byte[] bytes, String type) {
        if (answered()) {
            rescue.answeredTwice(this);
            return this;
        }
        if (!headers.has(CONTENT_TYPE)) headers.set(CONTENT_TYPE, type);
        body = Optional.of(bytes);
        return this;
    }

    @Override
    public Context stream(InputStream from) {
        if (answered()) rescue.answeredTwice(this);
        else source = Optional.of(from);
        return this;
    }

    @Override
    public OutputStream outputStream() {
        if (output.isEmpty()) {
            if (answered()) throw new IllegalStateException("call is answered already");
            output = Optional.of(new BodyOutput(this));
        }
        return output.get();
    }

    @Override
    public boolean answered() {
        return body.isPresent() || source.isPresent() || output.isPresent();
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

    // ---- sending

    /** Sends what stands here. */
    void send() throws IOException {
        if (output.isPresent()) {
            output.get().close();
        } else if (source.isPresent()) {
            try (InputStream from = source.get(); OutputStream to = new BodyOutput(this)) {
                copy(from, to);
            }
        } else {
            sendWhole(body.orElse(new byte[0]));
        }
    }

    private void copy(InputStream from, OutputStream to) throws IOException {
        try {
            from.transferTo(to);
        } catch (IOException | RuntimeException cause) {
            // Closing would end it as if it were whole.
            ((BodyOutput) to).cut();
            throw cause;
        }
    }

    /** Sends an answer that is here in full; one that fits no frame goes on in chunks, with its length. */
    void sendWhole(byte[] bytes) throws IOException {
        int length = bytes.length;
        boolean head = params.method().equals("HEAD");
        if (length <= call.attachmentMax() || head) {
            if (head && length > 0 && !headers.has(CONTENT_LENGTH)) headers.set(CONTENT_LENGTH, Integer.toString(length));
            if (!call.reply(statusFor(length), checked(), head ? new byte[0] : bytes)) throw unsendable();
        } else {
            if (!headers.has(CONTENT_LENGTH)) headers.set(CONTENT_LENGTH, Integer.toString(length));
            begin().writeWhole(bytes);
        }
    }

    /** Sends status and headers of an answer whose body goes on. */
    Outgoing begin() throws IOException {
        Headers fixed = checked();
        return call.begin(status == 0 ? 200 : status, fixed).orElseThrow(CallContext::unsendable);
    }

    private static IOException unsendable() {
        return new IOException("call is answered already, or the headers of the answer fit no frame");
    }

    private int statusFor(int length) {
        return status != 0 ? status : length > 0 || answered() ? 200 : 204;
    }

    private Headers checked() throws IOException {
        Headers fixed = headers.build();
        Optional<String> problem = ReplyRules.problem(status == 0 ? 200 : status, fixed);
        if (problem.isPresent()) throw new IOException("answer cannot be sent: " + problem.get());
        return fixed;
    }

    /** Forgets what was answered. Gives false when some of it is sent. */
    boolean forget() {
        if (output.map(BodyOutput::begun).orElse(false)) return false;
        closeSource();
        status = 0;
        body = Optional.empty();
        output = Optional.empty();
        headers.remove(CONTENT_TYPE).remove(CONTENT_LENGTH).remove("content-encoding").remove("etag").remove("last-modified");
        return true;
    }

    /** The handler stopped as it was asked to: nothing is to be sent. */
    void stop() {
        stopped = true;
        cut();
    }

    boolean stopped() {
        return stopped;
    }

    /** The answer that was begun ends unfinished. */
    void cut() {
        closeSource();
        output.ifPresent(BodyOutput::cut);
    }

    private void closeSource() {
        if (source.isEmpty()) return;
        try {
            source.get().close();
        } catch (IOException nobodyReadsIt) {
            // Its bytes are not wanted.
        }
        source = Optional.empty();
    }

    /** A query, decoded as HTML forms are. */
    private record Query(Map<String, List<String>> values) {
        static Query parse(String raw) {
            Map<String, List<String>> values = new HashMap<>();
            for (String pair : raw.split("&")) {
                if (pair.isEmpty()) continue;
                int equals = pair.indexOf('=');
                String name = equals < 0 ? pair : pair.substring(0, equals);
                String value = equals < 0 ? "" : pair.substring(equals + 1);
                values.computeIfAbsent(FormText.decode(name), none -> new java.util.ArrayList<>()).add(FormText.decode(value));
            }
            return new Query(values);
        }

        List<String> all(String name) {
            return values.getOrDefault(name, List.of());
        }
    }
}

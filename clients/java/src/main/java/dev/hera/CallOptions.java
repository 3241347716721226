package dev.hera;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;

/** What goes with a call to another service, and its limits. Immutable, but for a stream, which can be sent once. */
public final class CallOptions {
    private static final CallOptions NONE =
            new CallOptions(Headers.none(), Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), 16 << 20);

    private final Headers headers;
    private final Optional<Object> json;
    private final Optional<byte[]> bytes;
    private final Optional<InputStream> stream;
    private final Optional<Duration> timeout;
    private final long bodyBytesMax;

    private CallOptions(
            Headers headers,
            Optional<Object> json,
            Optional<byte[]> bytes,
            Optional<InputStream> stream,
            Optional<Duration> timeout,
            long bodyBytesMax) {
        this.headers = headers;
        this.json = json;
        this.bytes = bytes;
        this.stream = stream;
        this.timeout = timeout;
        this.bodyBytesMax = bodyBytesMax;
    }

    /** {@return a call without a body} */
    public static CallOptions none() {
        return NONE;
    }

    /**
     * {@return a call with JSON as its body, {@code application/json}}
     *
     * @param value what the configured {@code ObjectMapper} writes
     */
    public static CallOptions json(Object value) {
        return new CallOptions(NONE.headers, Optional.of(value), NONE.bytes, NONE.stream, NONE.timeout, NONE.bodyBytesMax);
    }

    /**
     * {@return a call with text as its body, {@code text/plain}}
     *
     * @param text any
     */
    public static CallOptions text(String text) {
        return bytes(text.getBytes(StandardCharsets.UTF_8)).header("content-type", "text/plain; charset=utf-8");
    }

    /**
     * {@return a call with bytes as its body}
     *
     * @param bytes any number; not to be changed from now on
     */
    public static CallOptions bytes(byte[] bytes) {
        return new CallOptions(NONE.headers, NONE.json, Optional.of(bytes), NONE.stream, NONE.timeout, NONE.bodyBytesMax);
    }

    /**
     * {@return a call whose body is read from a stream, by a thread of its own, as fast as it is taken} Such a call is never sent a second time.
     *
     * @param body closed when it was sent, or nobody reads on
     */
    public static CallOptions stream(InputStream body) {
        return new CallOptions(NONE.headers, NONE.json, NONE.bytes, Optional.of(body), NONE.timeout, NONE.bodyBytesMax);
    }

    /**
     * {@return the same with a header in place of all of its name}
     *
     * @param name in any case; not hop-by-hop, {@code host}, {@code content-length} or {@code hera-*}
     * @param value Latin-1
     */
    public CallOptions header(String name, String value) {
        Headers.Builder more = Headers.builder();
        headers.forEach(each -> more.add(each.getKey(), each.getValue()));
        return new CallOptions(more.set(name, value).build(), json, bytes, stream, timeout, bodyBytesMax);
    }

    /**
     * {@return the same with a time limit of its own} Within a handler the call's own deadline holds too; else the limit is the endpoint's.
     *
     * @param timeout 1 ms to 300 s
     */
    public CallOptions timeout(Duration timeout) {
        long ms = Objects.requireNonNull(timeout, "timeout").toMillis();
        if (ms < 1 || ms > 300_000) throw new IllegalArgumentException("timeout of " + ms + " ms is not 1 to 300000");
        return new CallOptions(headers, json, bytes, stream, Optional.of(timeout), bodyBytesMax);
    }

    /**
     * {@return the same with another limit for {@link Result#bodyBytes} and the like} Default: 16 MiB. A stream has none.
     *
     * @param bytes at least 0
     */
    public CallOptions bodyBytesMax(long bytes) {
        return new CallOptions(headers, json, this.bytes, stream, timeout, bytes);
    }

    /** {@return the headers} */
    public Headers headers() {
        return headers;
    }

    /** {@return the body as a value, when it is one} */
    public Optional<Object> jsonBody() {
        return json;
    }

    /** {@return the body as bytes, when it is that} */
    public Optional<byte[]> bytesBody() {
        return bytes;
    }

    /** {@return the body as a stream, when it is one} */
    public Optional<InputStream> streamBody() {
        return stream;
    }

    /** {@return the time limit, when there is one} */
    public Optional<Duration> timeout() {
        return timeout;
    }

    /** {@return the limit for bodies that are read as a whole, in bytes} */
    public long bodyBytesMax() {
        return bodyBytesMax;
    }
}

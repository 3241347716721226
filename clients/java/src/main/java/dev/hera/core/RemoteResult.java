package dev.hera.core;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.Headers;
import dev.hera.HeraException;
import dev.hera.Result;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/** The answer to a call of ours. */
final class RemoteResult implements Result {
    private final int status;
    private final Headers headers;
    private final String worker;
    private final Incoming incoming;
    private final long bodyBytesMax;
    private final ObjectMapper mapper;
    private Optional<byte[]> whole = Optional.empty();
    private boolean streamed;

    RemoteResult(int status, Headers headers, String worker, Incoming incoming, long bodyBytesMax, ObjectMapper mapper) {
        this.status = status;
        this.headers = headers;
        this.worker = worker;
        this.incoming = incoming;
        this.bodyBytesMax = bodyBytesMax;
        this.mapper = mapper;
    }

    @Override
    public int status() {
        return status;
    }

    @Override
    public Headers headers() {
        return headers;
    }

    @Override
    public String worker() {
        return worker;
    }

    @Override
    public byte[] bodyBytes() {
        if (whole.isEmpty()) {
            if (streamed) throw new IllegalStateException("body is read as a stream already");
            whole = Optional.of(gather());
        }
        return whole.get();
    }

    private byte[] gather() {
        try {
            byte[] bytes = incoming.readNBytes((int) Math.min(bodyBytesMax + 1, Integer.MAX_VALUE - 8));
            if (bytes.length <= bodyBytesMax) return bytes;
            incoming.stop();
            throw new HeraException("body_too_large", "body of the answer exceeds the limit of " + bodyBytesMax + " bytes");
        } catch (IOException cause) {
            throw new HeraException("body_reset", "body of the answer did not come: " + cause.getMessage(), cause);
        }
    }

    @Override
    public String body() {
        return new String(bodyBytes(), StandardCharsets.UTF_8);
    }

    @Override
    public <T> T bodyAs(Class<T> type) {
        return read(mapper.constructType(type));
    }

    @Override
    public <T> T bodyAs(TypeReference<T> type) {
        return read(mapper.constructType(type));
    }

    private <T> T read(JavaType type) {
        IOException problem = null;
        try {
            T value = mapper.readValue(bodyBytes(), type);
            if (value != null) return value;
        } catch (IOException notThat) {
            problem = notThat;
        }
        throw new HeraException("bad_body", "body of the answer is not the JSON that is expected here", problem);
    }

    @Override
    public InputStream bodyStream() {
        if (whole.isPresent()) throw new IllegalStateException("body is read as a whole already");
        streamed = true;
        return incoming;
    }

    @Override
    public void close() {
        incoming.stop();
    }
}

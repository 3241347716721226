package dev.hera.core;

import dev.hera.Headers;
import dev.hera.protocol.ReplyRules;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Objects;
import java.util.Optional;

/**
 * The answer to one call while it is made: status, headers, and one body, which is bytes, a source that is read, or an output that is written to. It is
 * sent once, as a whole or piece by piece. One thread at a time.
 */
final class Answer {
    private static final String CONTENT_TYPE = "content-type";
    private static final String CONTENT_LENGTH = "content-length";

    private final Call call;
    private boolean stopped;
    private int status;
    private final Headers.Builder headers = Headers.builder();
    private Optional<byte[]> body = Optional.empty();
    private Optional<InputStream> source = Optional.empty();
    private Optional<BodyOutput> output = Optional.empty();

    Answer(Call call) {
        this.call = call;
    }

    void status(int status) {
        if (!ReplyRules.isStatus(status)) throw new IllegalArgumentException("status " + status + " is not 200 to 599, without 425");
        this.status = status;
    }

    /** 0 while none was set and there is no body. */
    int status() {
        return status == 0 && hasBody() ? 200 : status;
    }

    void setHeader(String name, String value) {
        check(name, value);
        headers.set(name, value);
    }

    void addHeader(String name, String value) {
        check(name, value);
        headers.add(name, value);
    }

    private static void check(String name, String value) {
        if (!ReplyRules.isName(name)) throw new IllegalArgumentException("header name is not a token");
        if (!ReplyRules.isValue(value)) {
            throw new IllegalArgumentException("value of header " + name + " has a control byte or a code point over U+00FF");
        }
    }

    /** Whether there is a body, or a stream was begun. */
    boolean hasBody() {
        return body.isPresent() || source.isPresent() || output.isPresent();
    }

    /** Sets the body, and its type where none was set. Gives false when there is one already. */
    boolean body(byte[] bytes, String type) {
        if (hasBody()) return false;
        if (!headers.has(CONTENT_TYPE)) headers.set(CONTENT_TYPE, type);
        body = Optional.of(Objects.requireNonNull(bytes, "bytes"));
        return true;
    }

    /** Sets what the body is read from. Gives false when there is one already. */
    boolean source(InputStream from) {
        if (hasBody()) return false;
        source = Optional.of(from);
        return true;
    }

    /** What the body is written to. */
    OutputStream output() {
        if (output.isEmpty()) {
            if (hasBody()) throw new IllegalStateException("call is answered already");
            output = Optional.of(new BodyOutput(this));
        }
        return output.get();
    }

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
        boolean head = call.params().method().equals("HEAD");
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
        return call.begin(status == 0 ? 200 : status, fixed).orElseThrow(Answer::unsendable);
    }

    private static IOException unsendable() {
        return new IOException("call is answered already, or the headers of the answer fit no frame");
    }

    private int statusFor(int length) {
        return status != 0 ? status : length > 0 || hasBody() ? 200 : 204;
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
}

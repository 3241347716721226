package dev.hera.core;

import dev.hera.protocol.Limits;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Objects;
import java.util.Optional;

/**
 * An answer that is written piece by piece. What fits one frame, and was not flushed, goes as a whole; anything else begins a stream, whose writer waits
 * while its reader is slow. One thread at a time.
 */
final class BodyOutput extends OutputStream {
    /** Small writes are gathered up to here once the stream has begun. */
    private static final int GATHERED_BYTES = 16_384;

    private final Answer answer;
    private final ByteArrayOutputStream gathered = new ByteArrayOutputStream(512);
    private Optional<Outgoing> body = Optional.empty();
    private boolean closed;

    BodyOutput(Answer answer) {
        this.answer = answer;
    }

    /** Whether anything of it is on its way: status and headers are fixed then. */
    boolean begun() {
        return body.isPresent() || closed;
    }

    @Override
    public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int length) throws IOException {
        Objects.checkFromIndexSize(from, length, bytes.length);
        if (closed) throw new IOException("answer is closed");
        int at = from;
        int end = from + length;
        while (at < end) {
            int most = body.isPresent() ? GATHERED_BYTES : Limits.ATTACHMENT_BYTES_MAX;
            int count = Math.min(end - at, most - gathered.size());
            gathered.write(bytes, at, count);
            at += count;
            if (gathered.size() >= most && at < end || gathered.size() > most) flush();
        }
    }

    /** Sends what was written so far, and waits while a window of it waits already. */
    @Override
    public void flush() throws IOException {
        if (closed) return;
        if (body.isEmpty()) body = Optional.of(answer.begin());
        if (gathered.size() == 0) return;
        byte[] bytes = gathered.toByteArray();
        gathered.reset();
        body.get().write(bytes);
    }

    /** Ends the answer. */
    @Override
    public void close() throws IOException {
        if (closed) return;
        if (body.isPresent()) {
            flush();
            closed = true;
            body.get().end();
        } else {
            closed = true;
            answer.sendWhole(gathered.toByteArray());
        }
    }

    /** Ends the answer unfinished. */
    void cut() {
        closed = true;
        gathered.reset();
        body.ifPresent(each -> each.reset("handler_failed"));
    }
}

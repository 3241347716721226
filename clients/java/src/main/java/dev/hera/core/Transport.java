package dev.hera.core;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;

/** Bytes both ways on a connection that does not block; TLS or not is decided once, when the broker is dialled. One thread, but for {@link #close}. */
interface Transport extends AutoCloseable {
    /** To be selected on. */
    SocketChannel channel();

    /** Reads what waits into {@code bytes}: how many, 0 when nothing waits, -1 at the end. */
    int read(ByteBuffer bytes) throws IOException;

    /** Writes what goes. Gives whether all of it is with the kernel. */
    boolean write(ByteBuffer bytes) throws IOException;

    /** Says that nothing more will come. */
    void finish() throws IOException;

    /** SHA-256 of the other side's leaf certificate (DER) on TLS, else empty (P-16). */
    byte[] certificate();

    /** Closes at once; any thread may. */
    @Override
    void close();
}

package dev.hera.core;

import dev.hera.protocol.Proof;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.security.cert.CertificateEncodingException;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;

/** TLS over a connection that does not block. */
final class TlsTransport implements Transport {
    private static final ByteBuffer NOTHING = ByteBuffer.allocate(0);

    private final SocketChannel channel;
    private final SSLEngine engine;
    /** Bytes of the network that came and are not unwrapped; ready to be read into. */
    private final ByteBuffer received;
    /** Unwrapped bytes that found no room; ready to be taken from. */
    private ByteBuffer plain;
    /** Wrapped bytes that are to be sent; ready to be taken from. */
    private final ByteBuffer wrapped;
    private boolean atEnd;

    /** @param host what the certificate has to be for */
    TlsTransport(SocketChannel channel, SSLContext context, String host, int port) {
        this.channel = channel;
        engine = context.createSSLEngine(host, port);
        engine.setUseClientMode(true);
        SSLParameters parameters = engine.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        engine.setSSLParameters(parameters);
        received = ByteBuffer.allocate(engine.getSession().getPacketBufferSize());
        plain = ByteBuffer.allocate(engine.getSession().getApplicationBufferSize()).flip();
        // Sent as one record at a time: the rest waits in the loop's buffer.
        wrapped = ByteBuffer.allocate(engine.getSession().getPacketBufferSize()).flip();
    }

    /** Shakes hands; waits at most until {@code deadline}, monotonic nanoseconds. */
    void handshake(Selector selector, long deadline) throws IOException {
        SelectionKey key = channel.register(selector, 0);
        engine.beginHandshake();
        while (isShaking()) {
            step();
            boolean sending = !flush();
            if (atEnd) throw new SSLException("connection ended in the TLS handshake");
            if (!isShaking()) break;
            if (!sending && engine.getHandshakeStatus() == HandshakeStatus.NEED_WRAP) continue;
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0) throw new SSLException("the TLS handshake took over 5 s");
            key.interestOps(sending ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
            selector.select(left);
            selector.selectedKeys().clear();
        }
        key.cancel();
        selector.selectNow();
    }

    private boolean isShaking() {
        return engine.getHandshakeStatus() != HandshakeStatus.NOT_HANDSHAKING;
    }

    /** Does what the engine asks for, until it has to wait for the network. */
    private void step() throws IOException {
        boolean moved = true;
        while (moved && isShaking()) {
            moved = switch (engine.getHandshakeStatus()) {
                case NEED_TASK -> runTasks();
                case NEED_WRAP -> !wrapped.hasRemaining() && wrap(NOTHING);
                default -> unwrap();
            };
        }
    }

    private boolean runTasks() {
        for (Runnable task = engine.getDelegatedTask(); task != null; task = engine.getDelegatedTask()) task.run();
        return true;
    }

    private boolean wrap(ByteBuffer from) throws IOException {
        wrapped.clear();
        SSLEngineResult result;
        try {
            result = engine.wrap(from, wrapped);
        } finally {
            wrapped.flip();
        }
        return result.bytesProduced() > 0 || result.bytesConsumed() > 0;
    }

    /** Unwraps one record into {@code plain}. Gives false when more of the network is needed. */
    private boolean unwrap() throws IOException {
        plain.compact();
        received.flip();
        SSLEngineResult result;
        try {
            result = engine.unwrap(received, plain);
        } finally {
            received.compact();
            plain.flip();
        }
        return switch (result.getStatus()) {
            case BUFFER_UNDERFLOW -> fill();
            case BUFFER_OVERFLOW -> grow();
            case CLOSED -> {
                atEnd = true;
                yield false;
            }
            default -> result.bytesConsumed() > 0 || result.bytesProduced() > 0
                    || result.getHandshakeStatus() == HandshakeStatus.NEED_TASK;
        };
    }

    private boolean fill() throws IOException {
        int count = channel.read(received);
        if (count < 0) {
            // Without a close_notify somebody may have cut it: for frames that is a lost connection like any other.
            atEnd = true;
        }
        return count > 0;
    }

    private boolean grow() {
        int room = engine.getSession().getApplicationBufferSize() + plain.remaining();
        plain = ByteBuffer.allocate(room).put(plain).flip();
        return true;
    }

    private boolean flush() throws IOException {
        while (wrapped.hasRemaining()) {
            if (channel.write(wrapped) == 0) return false;
        }
        return true;
    }

    @Override
    public SocketChannel channel() {
        return channel;
    }

    @Override
    public int read(ByteBuffer bytes) throws IOException {
        while (!plain.hasRemaining() && !atEnd) {
            // After the handshake too: tickets and new keys.
            if (engine.getHandshakeStatus() == HandshakeStatus.NEED_TASK) runTasks();
            if (engine.getHandshakeStatus() == HandshakeStatus.NEED_WRAP && flush()) {
                wrap(NOTHING);
                flush();
            }
            if (!unwrap()) break;
        }
        if (!plain.hasRemaining()) return atEnd ? -1 : 0;
        int count = Math.min(plain.remaining(), bytes.remaining());
        int limit = plain.limit();
        plain.limit(plain.position() + count);
        bytes.put(plain);
        plain.limit(limit);
        return count;
    }

    @Override
    public boolean write(ByteBuffer bytes) throws IOException {
        while (flush()) {
            if (!bytes.hasRemaining()) return true;
            if (!wrap(bytes)) throw new SSLException("TLS takes no more bytes");
        }
        return false;
    }

    @Override
    public void finish() throws IOException {
        engine.closeOutbound();
        if (flush()) {
            wrap(NOTHING);
            flush();
        }
        channel.shutdownOutput();
    }

    @Override
    public byte[] certificate() {
        try {
            return Proof.sha256(engine.getSession().getPeerCertificates()[0].getEncoded());
        } catch (SSLException | CertificateEncodingException cause) {
            // The handshake is done, and it checked the certificate.
            throw new IllegalStateException(cause);
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException nothingToLose) {
            // What was to be written is written, or nobody reads it.
        }
    }
}

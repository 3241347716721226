package dev.hera.core;

import dev.hera.HeraException;
import dev.hera.discovery.Address;
import dev.hera.protocol.Frame;
import dev.hera.protocol.FrameReader;
import dev.hera.protocol.WireException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One connection to a broker, from the dial to its last byte: a loop of its own thread that reads frames into the {@link Session} and writes what waits
 * in its {@link Outlet}. Handlers never touch the socket, so an interrupt of theirs cannot close it.
 */
final class Connection implements AutoCloseable {
    private static final int DIAL_MS = 5_000;
    private static final int BUFFER_BYTES = 65_536;
    /** A peer that sends without end must not keep handlers from starting. */
    private static final int TURN_BYTES_MAX = 1 << 20;
    /** Above so many bytes of frames that the broker does not take, nothing more is read from it. */
    private static final int OUTLET_BYTES_MAX = 8 << 20;
    /** Time for what is still to be written, and for the broker to close its side. */
    private static final long LINGER_NANOS = 2_000_000_000L;

    private final Worker worker;
    private final Selector selector;
    private final AtomicBoolean woken = new AtomicBoolean();
    private final ByteBuffer in = ByteBuffer.allocateDirect(BUFFER_BYTES);
    private final ByteBuffer out = ByteBuffer.allocateDirect(BUFFER_BYTES).limit(0);
    private final ArrayDeque<Frame> frames = new ArrayDeque<>();
    private final FrameReader reader = new FrameReader();
    private Frame writing;
    private int written;
    private Transport transport;
    private volatile SocketChannel channel;
    private volatile Session session;
    private volatile boolean draining;
    private volatile boolean closed;

    Connection(Worker worker) throws IOException {
        this.worker = worker;
        this.selector = Selector.open();
    }

    /** The session, once the broker was reached. Any thread may ask. */
    Optional<Session> session() {
        return Optional.ofNullable(session);
    }

    /** Ends the session in order. Any thread may ask for it. */
    void drain() {
        draining = true;
        wake();
    }

    /** Ends everything now. Any thread may ask for it. */
    @Override
    public void close() {
        closed = true;
        SocketChannel dialling = channel;
        try {
            if (dialling != null) dialling.close();
        } catch (IOException nothingToLose) {
            // It is to go, and it goes.
        }
        selector.wakeup();
    }

    private void wake() {
        if (woken.compareAndSet(false, true)) selector.wakeup();
    }

    /** Dials, serves until the session ends, and closes. Gives why it ended. */
    HeraException run(Address address) {
        HeraException ending;
        try {
            dial(address);
        } catch (IOException cause) {
            release();
            return new HeraException("connection_lost", "cannot dial: " + cause.getMessage(), cause);
        }
        session = new Session(worker, transport.certificate(), reader, this::wake, System.nanoTime());
        try {
            ending = loop();
        } catch (IOException | CancelledKeyException cause) {
            ending = new HeraException("connection_lost", "connection lost: " + cause.getMessage(), cause);
        } catch (RuntimeException | Error defect) {
            // Ours, or memory that ran out: it costs this session and its calls, never the worker.
            worker.log().error("broker {}: session failed", address, defect);
            ending = new HeraException("internal_error", "session failed: " + defect, defect);
        }
        ending = session.finish(ending, unwritten());
        release();
        return ending;
    }

    private void dial(Address address) throws IOException {
        long deadline = System.nanoTime() + DIAL_MS * 1_000_000L;
        IOException failure = new IOException("no address");
        for (InetAddress each : InetAddress.getAllByName(address.host())) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0 || closed) break;
            SocketChannel dialled = SocketChannel.open();
            channel = dialled;
            try {
                dialled.socket().connect(new InetSocketAddress(each, address.port()), (int) left);
                // Writes are gathered here already; the kernel must not wait for more.
                dialled.setOption(StandardSocketOptions.TCP_NODELAY, true);
                dialled.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
                dialled.configureBlocking(false);
                transport = transport(address, dialled);
                return;
            } catch (IOException cause) {
                failure = cause;
                dialled.close();
            }
        }
        throw failure;
    }

    private Transport transport(Address address, SocketChannel dialled) throws IOException {
        if (!address.tls()) return new PlainTransport(dialled);
        TlsTransport tls = new TlsTransport(dialled, worker.tls(), address.host(), address.port());
        tls.handshake(selector, System.nanoTime() + DIAL_MS * 1_000_000L);
        return tls;
    }

    private HeraException loop() throws IOException {
        SelectionKey key = transport.channel().register(selector, SelectionKey.OP_READ);
        Ticks ticks = new Ticks(System.nanoTime());
        while (true) {
            boolean flushed = flush();
            if (session.isEnding()) return part(key);
            key.interestOps((reads() ? SelectionKey.OP_READ : 0) | (flushed ? 0 : SelectionKey.OP_WRITE));
            selector.select(Ticks.TICK_MS);
            selector.selectedKeys().clear();
            woken.set(false);
            if (closed) return new HeraException("closed", "worker was stopped");

            long now = System.nanoTime();
            Ticks.Turn turn = ticks.turn(now);
            session.turn(turn, now);
            if (reads() && !read(turn)) return new HeraException("connection_lost", "the broker closed the connection");
            session.endOfTurn(turn, now, draining);
        }
    }

    private boolean reads() {
        return session.outlet().bytes() < OUTLET_BYTES_MAX && frames.size() < OUTLET_BYTES_MAX / Frame.PREFIX_BYTES;
    }

    /** Reads everything that waits, whatever woke us: cancels and the end come before handlers start (P-37). Gives false at the end. */
    private boolean read(Ticks.Turn turn) throws IOException {
        int bytes = 0;
        while (bytes < TURN_BYTES_MAX) {
            in.clear();
            int count = transport.read(in);
            if (count < 0) return false;
            if (count == 0) return true;
            bytes += count;
            session.heard(System.nanoTime());
            in.flip();
            if (!frames(turn.arrival())) return true;
        }
        return true;
    }

    private boolean frames(long arrival) {
        try {
            for (Optional<Frame> frame = reader.next(in); frame.isPresent(); frame = reader.next(in)) {
                if (!session.frame(frame.get(), arrival)) return false;
            }
            return true;
        } catch (WireException fault) {
            session.fatal(fault.code(), fault.getMessage());
            return false;
        }
    }

    /** Writes what waits. Gives whether all of it is with the kernel. */
    private boolean flush() throws IOException {
        while (true) {
            if (out.hasRemaining() && !transport.write(out)) return false;
            if (!fill()) return transport.write(out);
        }
    }

    /** Gathers frames for one write. Gives whether there is anything to write. */
    private boolean fill() {
        out.clear();
        while (out.hasRemaining()) {
            if (writing == null) {
                if (frames.isEmpty()) session.outlet().turn(frames);
                writing = frames.poll();
                written = 0;
                if (writing == null) break;
            }
            put(writing);
        }
        out.flip();
        return out.hasRemaining();
    }

    private void put(Frame frame) {
        byte[] prefix = frame.prefix();
        piece(prefix, 0);
        piece(frame.head(), prefix.length);
        piece(frame.attachment(), prefix.length + frame.head().length);
        if (written == frame.bytes()) writing = null;
    }

    /** Puts what is missing of one piece, which begins {@code from} bytes into the frame. */
    private void piece(byte[] bytes, int from) {
        int at = written - from;
        if (at < 0 || at >= bytes.length) return;
        int count = Math.min(bytes.length - at, out.remaining());
        out.put(bytes, at, count);
        written += count;
    }

    /**
     * Writes what waits, says that nothing more will come, then reads to the broker's end: closing with unread bytes would send a reset, and a reset
     * overtakes the last answers.
     */
    private HeraException part(SelectionKey key) throws IOException {
        long until = System.nanoTime() + LINGER_NANOS;
        boolean said = false;
        session.outlet().turn(frames);
        HeraException ending = session.finish(new HeraException("closed", "session ended"), List.of());
        while (!closed && System.nanoTime() - until < 0) {
            boolean flushed = flush();
            if (flushed && !said) {
                transport.finish();
                said = true;
            }
            in.clear();
            if (transport.read(in) < 0) break;
            key.interestOps(SelectionKey.OP_READ | (flushed ? 0 : SelectionKey.OP_WRITE));
            selector.select(Ticks.TICK_MS);
            selector.selectedKeys().clear();
            woken.set(false);
        }
        return ending;
    }

    /** Frames of which no byte was given to the kernel; the one that is being written may have begun. */
    private List<Frame> unwritten() {
        return List.copyOf(frames);
    }

    private void release() {
        close();
        try {
            selector.close();
        } catch (IOException nothingToLose) {
            // Nobody selects any more.
        }
    }
}

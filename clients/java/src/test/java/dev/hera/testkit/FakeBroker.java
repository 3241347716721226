package dev.hera.testkit;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.hera.protocol.Frame;
import dev.hera.protocol.FrameReader;
import dev.hera.protocol.Proof;
import dev.hera.protocol.WireException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.Predicate;

/** A broker for tests: real TCP, speaks hera/1, and does what the test tells it, also what a broker must not do. */
public final class FakeBroker implements AutoCloseable {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final byte[] CLUSTER_SEED;
    /** A worker key that the fake broker knows. */
    public static final String SECRET;

    static {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("Ed25519");
            KeyPair cluster = generator.generateKeyPair();
            KeyPair worker = generator.generateKeyPair();
            CLUSTER_SEED = last32(cluster.getPrivate().getEncoded());
            HexFormat hex = HexFormat.of();
            String text = "herakey_0123456789abcdef" + hex.formatHex(last32(worker.getPrivate().getEncoded()))
                    + hex.formatHex(last32(cluster.getPublic().getEncoded()));
            SECRET = text + hex.formatHex(Proof.sha256(text.getBytes(StandardCharsets.US_ASCII))).substring(0, 8);
        } catch (GeneralSecurityException cause) {
            throw new IllegalStateException(cause);
        }
    }

    private final ServerSocket server;

    /** What came: a head, and its attachment. */
    public record Received(JsonNode message, byte[] attachment) {}

    public FakeBroker() {
        try {
            server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    private static byte[] last32(byte[] encoded) {
        return Arrays.copyOfRange(encoded, encoded.length - 32, encoded.length);
    }

    public String url() {
        return "hera://127.0.0.1:" + server.getLocalPort();
    }

    /** The next connection, before anything is said. */
    public Peer accept() {
        try {
            return new Peer(server.accept());
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    /** The next connection, live: proven, and its declaration accepted. */
    public Peer worker(String... features) {
        Peer peer = accept();
        peer.shake(CLUSTER_SEED, features);
        Received declare = peer.until(each -> each.path("method").asText().equals("declare"));
        peer.result(declare.message().path("id").asLong(), "{\"accepted\":1}");
        return peer;
    }

    @Override
    public void close() {
        try {
            server.close();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    /** One worker's connection, as the broker sees it. */
    public static final class Peer implements AutoCloseable {
        private static final int PATIENCE_MS = 20_000;
        private final Socket socket;
        private final FrameReader reader = new FrameReader();
        private ByteBuffer waiting = ByteBuffer.allocate(0);
        private long nextId = 1;

        Peer(Socket socket) throws IOException {
            this.socket = socket;
            socket.setSoTimeout(PATIENCE_MS);
            reader.open();
        }

        /** Proves itself by this seed, and believes the worker. */
        public void shake(byte[] seed, String... features) {
            Frame hello = frame().orElseThrow();
            ObjectNode answer = MAPPER.createObjectNode().put("jsonrpc", "2.0").put("id", 1);
            ArrayNode offered = answer.putObject("result").put("version", 1).put("broker", "b-fake").putArray("features");
            for (String feature : features) offered.add(feature);
            byte[] head = answer.toString().getBytes(StandardCharsets.UTF_8);
            send(head, Proof.prove(seed, Proof.Role.BROKER, Proof.transcript(hello.head(), head, Frame.NOTHING)));
            Received prove = next();
            result(prove.message().path("id").asLong(), "{\"service\":\"fake\"}");
        }

        public void send(byte[] head, byte[] attachment) {
            Frame frame = new Frame(head, attachment);
            raw(frame.prefix(), head, attachment);
        }

        public void send(String head) {
            send(head.getBytes(StandardCharsets.UTF_8), Frame.NOTHING);
        }

        public void send(String head, byte[] attachment) {
            send(head.getBytes(StandardCharsets.UTF_8), attachment);
        }

        public void result(long id, String json) {
            send("{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"result\":" + json + "}");
        }

        public void notify(String method, String params) {
            send("{\"jsonrpc\":\"2.0\",\"method\":\"" + method + "\",\"params\":" + params + "}");
        }

        public void raw(byte[]... bytes) {
            try {
                for (byte[] each : bytes) socket.getOutputStream().write(each);
            } catch (IOException cause) {
                throw new UncheckedIOException(cause);
            }
        }

        /** Head of a call, with its id. */
        public String callHead(long id, String endpoint, long timeoutMs, String more) {
            String path = endpoint.substring(endpoint.indexOf(' ') + 1);
            String method = endpoint.substring(0, endpoint.indexOf(' '));
            return "{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"method\":\"" + endpoint + "\",\"params\":{\"method\":\"" + method + "\",\"target\":\"" + path
                    + "\",\"path\":\"" + path + "\",\"query\":null,\"path_params\":{},\"headers\":[],\"request_id\":\"r-" + id
                    + "\",\"caller\":{\"token\":null,\"labels\":{},\"ip\":\"127.0.0.1\"},\"timeout_ms\":" + timeoutMs + more + "}}";
        }

        /** Sends a call, and gives its id. */
        public long call(String endpoint) {
            return call(endpoint, 15_000, "", Frame.NOTHING);
        }

        public long call(String endpoint, long timeoutMs, String more, byte[] attachment) {
            long id = nextId++;
            send(callHead(id, endpoint, timeoutMs, more), attachment);
            return id;
        }

        public long nextId() {
            return nextId++;
        }

        /** The next frame; nothing at the end of the connection. */
        public Optional<Frame> frame() {
            try {
                while (true) {
                    Optional<Frame> frame = reader.next(waiting);
                    if (frame.isPresent()) return frame;
                    byte[] bytes = new byte[65_536];
                    int count = socket.getInputStream().read(bytes);
                    if (count < 0) return Optional.empty();
                    waiting = ByteBuffer.wrap(bytes, 0, count);
                }
            } catch (java.net.SocketException reset) {
                return Optional.empty();
            } catch (IOException | WireException cause) {
                throw new IllegalStateException(cause);
            }
        }

        /** The next message. */
        public Received next() {
            Frame frame = frame().orElseThrow(() -> new AssertionError("the worker closed the connection"));
            return received(frame);
        }

        private static Received received(Frame frame) {
            try {
                return new Received(MAPPER.readTree(frame.head()), frame.attachment());
            } catch (IOException cause) {
                throw new UncheckedIOException(cause);
            }
        }

        /** The next message that fits; others are dropped. */
        public Received until(Predicate<JsonNode> fits) {
            Received received = next();
            while (!fits.test(received.message())) received = next();
            return received;
        }

        /** The response to a call. */
        public Received response(long id) {
            return until(each -> each.path("id").asLong() == id && !each.has("method"));
        }

        /** The last message before the worker closes. */
        public Optional<Received> last() {
            Optional<Received> last = Optional.empty();
            for (Optional<Frame> frame = frame(); frame.isPresent(); frame = frame()) last = frame.map(Peer::received);
            return last;
        }

        /** Takes nothing more from the worker's side of the wire, and says nothing more. */
        public void end() {
            try {
                socket.shutdownOutput();
            } catch (IOException cause) {
                throw new UncheckedIOException(cause);
            }
        }

        @Override
        public void close() {
            try {
                socket.close();
            } catch (IOException cause) {
                throw new UncheckedIOException(cause);
            }
        }
    }
}

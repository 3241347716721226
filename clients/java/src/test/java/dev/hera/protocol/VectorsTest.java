package dev.hera.protocol;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.Headers;
import dev.hera.HeraException;
import dev.hera.testkit.Spec;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** The cases of spec/vectors that concern a worker; those that do not say why beside them. Nodes of brokers are in BrokerNodeTest. */
class VectorsTest {
    private static Stream<DynamicTest> each(String file, Consumer<JsonNode> check) {
        return Spec.cases(file).map(vector -> dynamicTest(vector.path("name").asText(), () -> check.accept(vector)));
    }

    // ---- frames

    @TestFactory
    Stream<DynamicTest> frames() {
        return each("frames", vector -> {
            byte[] bytes = hex(vector.path("bytes"));
            for (int step : new int[] {Math.max(1, bytes.length), 1, 7}) decode(vector, bytes, step);
            if (vector.has("frames") && !vector.path("decode_only").asBoolean()) assertArrayEquals(bytes, encoded(vector.path("frames")));
        });
    }

    private static void decode(JsonNode vector, byte[] bytes, int step) {
        FrameReader reader = new FrameReader();
        if (vector.path("state").asText().equals("session")) reader.open();
        List<String> got = new ArrayList<>();
        Optional<String> fault = Optional.empty();
        try {
            for (int at = 0; at < bytes.length; at += step) {
                ByteBuffer part = ByteBuffer.wrap(bytes, at, Math.min(step, bytes.length - at));
                for (Optional<Frame> frame = reader.next(part); frame.isPresent(); frame = reader.next(part)) got.add(shown(frame.get()));
            }
        } catch (WireException cause) {
            fault = Optional.of(cause.code().text());
        }
        assertEquals(Optional.ofNullable(vector.path("error").textValue()), fault);
        List<String> wanted = new ArrayList<>();
        vector.path("frames").forEach(frame -> wanted.add(frame.path("head").asText() + " " + frame.path("attachment").asText()));
        if (vector.has("frames")) assertEquals(wanted, got);
    }

    private static String shown(Frame frame) {
        return new String(frame.head(), StandardCharsets.UTF_8) + " " + HexFormat.of().formatHex(frame.attachment());
    }

    private static byte[] encoded(JsonNode frames) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (JsonNode each : frames) {
            Frame frame = new Frame(utf8(each.path("head")), hex(each.path("attachment")));
            bytes.writeBytes(frame.prefix());
            bytes.writeBytes(frame.head());
            bytes.writeBytes(frame.attachment());
            assertEquals(frame.bytes(), frame.prefix().length + frame.head().length + frame.attachment().length);
        }
        return bytes.toByteArray();
    }

    // ---- heads

    @TestFactory
    Stream<DynamicTest> messages() {
        return each("messages", vector -> {
            Message message = MessageReader.read(bytes(vector, "head"));

            switch (vector.path("kind").asText()) {
                case "request" -> {
                    Message.Request request = (Message.Request) message;
                    assertEquals(vector.path("id").asLong(), request.id());
                    assertEquals(vector.path("method").asText(), request.method());
                    assertEquals(vector.path("params"), request.params().tree());
                }
                case "notification" -> {
                    Message.Notification notification = (Message.Notification) message;
                    assertEquals(vector.path("method").asText(), notification.method());
                    assertEquals(vector.path("params"), notification.params().tree());
                }
                case "response" -> {
                    Message.Response response = (Message.Response) message;
                    assertEquals(id(vector.path("id")), response.id());
                    assertEquals(vector.path("result"), response.result().tree());
                    assertEquals(vector.path("error"), response.error().tree());
                }
                default -> {
                    Message.Bad bad = (Message.Bad) message;
                    assertEquals(vector.path("error").asText(), bad.code().text());
                    if (vector.has("id")) {
                        Optional<Long> id = vector.path("id").isNull() ? Optional.empty() : Optional.of(vector.path("id").asLong());
                        assertEquals(id, bad.id());
                    }
                }
            }
        });
    }

    private static Message.Id id(JsonNode id) {
        if (id.isNull()) return Message.Id.NONE;
        return id.isNumber() ? new Message.Id(id.asLong()) : Message.Id.FOREIGN;
    }

    @TestFactory
    Stream<DynamicTest> json() {
        return each("json", vector -> {
            String name = vector.path("name").asText();
            Message message = MessageReader.read(jsonHead(vector));

            if (name.startsWith("y_")) {
                Message.Request request = (Message.Request) message;
                assertEquals(5, request.id());
                assertEquals("ping", request.method());
            } else if (name.startsWith("n_")) {
                assertEquals(Code.PARSE_ERROR, ((Message.Bad) message).code());
            } else {
                assertTrue(message instanceof Message.Request || message instanceof Message.Bad);
            }
        });
    }

    private static byte[] jsonHead(JsonNode vector) {
        if (vector.has("head") || vector.has("head_hex")) return bytes(vector, "head");
        ByteArrayOutputStream head = new ByteArrayOutputStream();
        head.writeBytes("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"params\":{\"v\":".getBytes(StandardCharsets.US_ASCII));
        head.writeBytes(bytes(vector, "value"));
        head.writeBytes("}}".getBytes(StandardCharsets.US_ASCII));
        return head.toByteArray();
    }

    // ---- keys and the handshake

    @TestFactory
    Stream<DynamicTest> keys() {
        return each("keys", vector -> {
            String text = vector.path("key").asText();
            if (vector.has("error")) {
                HeraException error = assertThrows(HeraException.class, () -> WorkerKey.parse(text));
                assertEquals("bad_key", error.code());
                return;
            }
            WorkerKey key = WorkerKey.parse(text);
            assertEquals(vector.path("id").asText(), key.id());
            assertArrayEquals(hex(vector.path("seed")), key.seed());
            assertArrayEquals(hex(vector.path("cluster")), key.cluster());
            assertFalse(key.toString().contains(vector.path("seed").asText()));
        });
    }

    /** A broker's judgement of a hello is not ours: such a case has no answer. */
    @TestFactory
    Stream<DynamicTest> handshake() {
        return Spec.cases("handshake")
                .filter(vector -> vector.has("answer"))
                .map(vector -> dynamicTest(vector.path("name").asText(), () -> shake(vector)));
    }

    private static void shake(JsonNode vector) {
        WorkerKey key = WorkerKey.parse(vector.path("worker_key").asText());
        byte[] certificate = vector.path("certificate_sha256").isNull() ? Frame.NOTHING : hex(vector.path("certificate_sha256"));
        Frame answer = new Frame(utf8(vector.path("answer")), hex(vector.path("broker_proof")));

        if (vector.path("by").asText().equals("worker")) {
            HeraException error =
                    assertThrows(HeraException.class, () -> Handshake.judge(key, utf8(vector.path("hello")), answer, certificate));
            assertEquals(vector.path("error").asText(), error.code());
            return;
        }
        Handshake.Proven proven = Handshake.judge(key, utf8(vector.path("hello")), answer, certificate);
        assertArrayEquals(hex(vector.path("transcript")), proven.said());
        // A wrong proof of a worker is a broker's to refuse.
        if (vector.has("error")) return;
        assertArrayEquals(hex(vector.path("worker_proof")), Proof.prove(key.seed(), Proof.Role.WORKER, proven.said()));
    }

    @TestFactory
    Stream<DynamicTest> chains() {
        return each("chains", vector -> assertEquals(
                vector.path("call").asText(),
                CallParams.name(vector.path("method").asText(), vector.path("path").asText(), Optional.ofNullable(vector.path("query").textValue()))));
    }

    // ---- paths, patterns, answers

    @TestFactory
    Stream<DynamicTest> paths() {
        return each("paths", vector -> {
            byte[] path = bytes(vector, "path");
            if (vector.has("error")) {
                assertThrows(CanonicalPath.BadPathException.class, () -> CanonicalPath.of(path));
            } else {
                assertEquals(vector.path("canonical").asText(), canonical(path));
                assertEquals(vector.path("canonical").asText(), canonical(utf8(vector.path("canonical"))));
            }
        });
    }

    private static String canonical(byte[] path) {
        try {
            return CanonicalPath.of(path);
        } catch (CanonicalPath.BadPathException cause) {
            throw new AssertionError(cause);
        }
    }

    @TestFactory
    Stream<DynamicTest> patterns() {
        return each("patterns", vector -> {
            String endpoint = vector.path("endpoint").asText();
            if (vector.has("error")) {
                HeraException error = assertThrows(HeraException.class, () -> EndpointPattern.parse(endpoint));
                assertEquals(vector.path("error").asText(), error.code());
                return;
            }
            EndpointPattern pattern = EndpointPattern.parse(endpoint);
            List<String> names = new ArrayList<>();
            vector.path("names").forEach(name -> names.add(name.asText()));
            assertEquals(vector.path("method").asText(), pattern.method());
            assertEquals(vector.path("shape").asText(), pattern.shape());
            assertEquals(names, pattern.names());
        });
    }

    /**
     * The broker reads answers; what we may send is exactly what it takes. Of the cases that it refuses those are ours whose result is a status and
     * pairs of text; the others (a member of another type, missing or twice) are nothing that this library can write, nor is a wrong
     * content-length, which only the broker can hold against a body.
     */
    @TestFactory
    Stream<DynamicTest> replies() {
        return Spec.cases("replies")
                .filter(VectorsTest::canBeWritten)
                .map(vector -> dynamicTest(vector.path("name").asText(), () -> {
                    JsonNode result = vector.path("result");
                    Headers.Builder headers = Headers.builder();
                    result.path("headers").forEach(pair -> headers.add(pair.get(0).asText(), pair.get(1).asText()));
                    boolean fits = ReplyRules.problem(result.path("status").asInt(), headers.build()).isEmpty();
                    boolean passed = result.path("status").asInt() != 425 && !vector.has("error");
                    boolean ofLength = headers.has("content-length");
                    assertTrue(fits == passed || ofLength, "fits: " + fits);
                }));
    }

    private static boolean canBeWritten(JsonNode vector) {
        JsonNode result = vector.path("result");
        if (!result.path("status").isInt() || !result.path("headers").isArray()) return false;
        for (JsonNode pair : result.path("headers")) {
            boolean texts = pair.isArray() && pair.size() == 2 && pair.get(0).isTextual() && pair.get(1).isTextual();
            if (!texts) return false;
        }
        return !result.has("more") || result.path("more").isBoolean();
    }

    /** Declarations are a broker's to judge; a pattern that cannot be is refused here before one has to. */
    @TestFactory
    Stream<DynamicTest> declarations() {
        return Spec.cases("declarations")
                .filter(vector -> vector.has("accepted"))
                .map(vector -> dynamicTest(vector.path("name").asText(), () -> vector.path("params")
                        .path("endpoints")
                        .forEach(each -> EndpointPattern.parse(each.path("endpoint").asText()))));
    }

    // routes and scopes are the broker's alone: its table chooses, and a worker looks its endpoint up by name.

    private static byte[] bytes(JsonNode vector, String name) {
        return vector.has(name) ? utf8(vector.path(name)) : hex(vector.path(name + "_hex"));
    }

    private static byte[] utf8(JsonNode text) {
        return text.asText().getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] hex(JsonNode text) {
        return HexFormat.of().parseHex(text.asText());
    }
}

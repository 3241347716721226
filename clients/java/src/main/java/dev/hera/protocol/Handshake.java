package dev.hera.protocol;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.HeraException;
import java.security.SecureRandom;
import java.util.HexFormat;

/** The worker's side of the handshake (P-14 to P-20); no socket and no clock. */
public final class Handshake {
    public static final long HELLO_ID = 1;
    public static final long PROVE_ID = 2;
    /** Calls of the worker to others (section 10). */
    private static final String REMOTE_CALL = "remote_call";
    private static final SecureRandom RANDOM = new SecureRandom();

    /** What a worker says of itself. */
    public record Hello(String key, String instance, String version, String library, int inFlightMax) {}

    /**
     * What a broker is believed after it proved itself.
     *
     * @param broker its id
     * @param inFlightMax calls at once that both sides agreed on
     * @param remoteCalls whether it takes calls of ours
     * @param said the transcript, which the worker signs
     */
    public record Proven(
            String broker, int headBytesMax, int attachmentBytesMax, int inFlightMax, boolean remoteCalls, byte[] said) {}

    private Handshake() {}

    /** Head of the first message of a connection, with a nonce that is new each time. */
    public static byte[] hello(Hello hello) {
        byte[] nonce = new byte[32];
        RANDOM.nextBytes(nonce);
        return Heads.request(HELLO_ID, "hello", json -> {
            json.writeArrayFieldStart("versions");
            json.writeNumber(1);
            json.writeEndArray();
            json.writeArrayFieldStart("features");
            json.writeString(REMOTE_CALL);
            json.writeEndArray();
            json.writeObjectFieldStart("limits");
            json.writeNumberField("head_bytes_max", Limits.HEAD_BYTES_MAX);
            json.writeNumberField("attachment_bytes_max", Limits.ATTACHMENT_BYTES_MAX);
            json.writeNumberField("in_flight_max", hello.inFlightMax());
            json.writeEndObject();
            json.writeStringField("nonce", HexFormat.of().formatHex(nonce));
            json.writeStringField("key", hello.key());
            json.writeStringField("instance", hello.instance());
            json.writeStringField("version", hello.version());
            json.writeStringField("library", hello.library());
        });
    }

    /** Head of the second message; the proof is its attachment. */
    public static byte[] prove() {
        return Heads.request(PROVE_ID, "prove", Heads.NO_MEMBERS);
    }

    /**
     * Judges the broker's answer to our hello and its proof; only then may anything be signed (P-18).
     *
     * @param hello the head as it was sent
     * @param certificate SHA-256 of the broker's leaf certificate on TLS, else empty
     * @throws HeraException why the broker is left
     */
    public static Proven judge(WorkerKey key, byte[] hello, Frame answer, byte[] certificate) {
        JsonNode result = result(MessageReader.read(answer.head()), HELLO_ID);
        byte[] said = Proof.transcript(hello, answer.head(), certificate);
        if (!Proof.verifies(key.cluster(), Proof.Role.BROKER, said, answer.attachment())) {
            throw new HeraException("unauthenticated", "broker did not prove that it belongs to the key's cluster");
        }
        JsonNode version = result.path("version");
        if (!version.isIntegralNumber() || version.longValue() != 1) {
            throw new HeraException("unsupported_version", "broker chose version " + version + ", this library speaks 1");
        }
        JsonNode limits = result.path("limits");
        return new Proven(
                result.path("broker").asText("?"),
                limit(limits.path("head_bytes_max"), Limits.HEAD_BYTES_MAX),
                limit(limits.path("attachment_bytes_max"), Limits.ATTACHMENT_BYTES_MAX),
                limit(limits.path("in_flight_max"), Limits.IN_FLIGHT_MAX),
                offers(result.path("features")),
                said);
    }

    /**
     * The result of one step of the handshake.
     *
     * @throws HeraException what the broker answered instead
     */
    public static JsonNode result(Message message, long id) {
        if (message instanceof Message.Bad bad) throw new HeraException(bad.code().text(), bad.reason());
        if (!(message instanceof Message.Response response) || response.id().isNumber() && response.id().number() != id
                || response.id().equals(Message.Id.FOREIGN)) {
            throw new HeraException("handshake_required", "another message came before the handshake was done");
        }
        if (response.failed()) {
            Failure failure = Failure.of(response.error().tree());
            throw new HeraException(failure.code(), "broker refused: " + failure.shortMessage());
        }
        JsonNode result = response.result().tree();
        if (!result.isObject()) throw new HeraException("bad_reply", "broker's answer in the handshake is no object");
        return result;
    }

    private static boolean offers(JsonNode features) {
        for (JsonNode feature : features) {
            if (feature.asText().equals(REMOTE_CALL)) return true;
        }
        return false;
    }

    private static int limit(JsonNode value, int otherwise) {
        return value.isInt() && value.intValue() >= 1 ? value.intValue() : otherwise;
    }
}

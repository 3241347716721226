package dev.hera.protocol;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.hera.RefusedEndpoint;
import java.util.ArrayList;
import java.util.List;

/** The error object of a response (P-13): {@code data.code} decides, the number only where it is missing. */
public record Failure(String code, String message, JsonNode data) {
    private static final int SHOWN_MAX = 200;

    public static Failure of(JsonNode error) {
        JsonNode data = error.path("data");
        String code = data.path("code").isTextual()
                ? data.path("code").textValue()
                : Code.ofNumber(error.path("code").asLong()).orElse(Code.INTERNAL_ERROR).text();
        return new Failure(code, error.path("message").asText(code), data);
    }

    /** The error object of an answer that could not be read (P-10). */
    public static JsonNode badReply(String reason) {
        ObjectNode error = JsonNodeFactory.instance.objectNode().put("code", Code.BAD_REPLY.number()).put("message", reason);
        error.putObject("data").put("code", Code.BAD_REPLY.text()).put("executed", "maybe").put("status", 502);
        return error;
    }

    /** Short enough for a log line, without control characters. */
    public String shortMessage() {
        String plain = message.replaceAll("\\p{Cntrl}", " ");
        return plain.length() <= SHOWN_MAX ? plain : plain.substring(0, SHOWN_MAX);
    }

    /** The endpoints that a refused declaration names (P-30). */
    public List<RefusedEndpoint> endpoints() {
        List<RefusedEndpoint> refused = new ArrayList<>();
        for (JsonNode each : data.path("endpoints")) {
            refused.add(new RefusedEndpoint(
                    each.path("endpoint").asText("?"), each.path("code").asText("?"), each.path("message").asText("")));
        }
        return refused;
    }
}

package dev.hera.protocol;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** How heads are read and written: strict UTF-8, at most 64 deep, no types by name (P-2, P-8). */
public final class Json {
    private static final StreamReadConstraints HEADS = StreamReadConstraints.builder()
            .maxNestingDepth(Limits.JSON_DEPTH_MAX)
            .maxNumberLength(Limits.HEAD_BYTES_MAX)
            .maxNameLength(Limits.HEAD_BYTES_MAX)
            .maxStringLength(Limits.HEAD_BYTES_MAX)
            .build();
    static final JsonFactory FACTORY = JsonFactory.builder()
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .streamReadConstraints(HEADS)
            .disable(JsonWriteFeature.ESCAPE_FORWARD_SLASHES)
            .build();
    private static final ObjectMapper TREES = new ObjectMapper(FACTORY);

    private Json() {}

    /** A value inside a head, by where it stands; {@link #ABSENT} where there is none. */
    public record Slice(byte[] bytes, int from, int to) {
        public static final Slice ABSENT = new Slice(Frame.NOTHING, 0, 0);

        public boolean isThere() {
            return to > from;
        }

        JsonParser parser() throws IOException {
            return FACTORY.createParser(bytes, from, to - from);
        }

        /** The value; a missing node where there is none. For messages that are rare. */
        public JsonNode tree() {
            if (!isThere()) return MissingNode.getInstance();
            try {
                return TREES.readTree(bytes, from, to - from);
            } catch (IOException cause) {
                // It was read once already.
                throw new UncheckedIOException(cause);
            }
        }
    }

    /** Writes members into an object that is open. */
    public interface Members {
        void write(JsonGenerator json) throws IOException;
    }

    /** An object with these members, as bytes. */
    public static byte[] object(Members members) {
        ByteArrayBuilder bytes = new ByteArrayBuilder(512);
        try (JsonGenerator json = FACTORY.createGenerator(bytes)) {
            json.writeStartObject();
            members.write(json);
            json.writeEndObject();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
        return bytes.toByteArray();
    }

    /** Whether these bytes are UTF-8: no overlong form, no surrogate. */
    static boolean isUtf8(byte[] bytes) {
        for (byte each : bytes) {
            if (each < 0) return isStrictUtf8(bytes);
        }
        return true;
    }

    private static boolean isStrictUtf8(byte[] bytes) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
            return true;
        } catch (CharacterCodingException notUtf8) {
            return false;
        }
    }
}

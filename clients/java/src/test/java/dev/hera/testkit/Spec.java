package dev.hera.testkit;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** What is in {@code spec/}. */
public final class Spec {
    private static final Path SPEC = TestBroker.root().resolve("spec");
    private static final ObjectMapper MAPPER = new ObjectMapper(JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(10_000).build())
            .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private Spec() {}

    /** The cases of one file of vectors. */
    public static Stream<JsonNode> cases(String file) {
        return StreamSupport.stream(json("vectors/" + file + ".json").path("cases").spliterator(), false);
    }

    public static JsonNode json(String file) {
        try {
            return MAPPER.readTree(text(file));
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    public static String text(String file) {
        try {
            return Files.readString(SPEC.resolve(file));
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }
}

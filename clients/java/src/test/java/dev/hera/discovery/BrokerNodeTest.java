package dev.hera.discovery;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.testkit.Spec;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

class BrokerNodeTest {
    @TestFactory
    Stream<DynamicTest> nodes() {
        return Spec.cases("broker_nodes").map(vector -> dynamicTest(vector.path("name").asText(), () -> {
            String outcome;
            try {
                Address address = BrokerNode.read(vector.path("node").asText(), data(vector)).broker().address();
                outcome = address.host() + " " + address.port() + " " + address.tls();
            } catch (BrokerNode.SkippedException skipped) {
                outcome = skipped.why().name().toLowerCase(Locale.ROOT);
            }

            JsonNode address = vector.path("address");
            assertEquals(
                    vector.has("skipped")
                            ? vector.path("skipped").asText()
                            : address.path("host").asText() + " " + address.path("port").asInt() + " " + address.path("tls").asBoolean(),
                    outcome);
        }));
    }

    private static byte[] data(JsonNode vector) {
        if (vector.has("data_hex")) return HexFormat.of().parseHex(vector.path("data_hex").asText());
        byte[] text = vector.path("data").asText().getBytes(StandardCharsets.UTF_8);
        int length = Math.max(text.length, vector.path("padded_bytes").asInt());
        byte[] padded = Arrays.copyOf(text, length);
        Arrays.fill(padded, text.length, length, (byte) ' ');
        return padded;
    }
}

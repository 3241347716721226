package dev.hera.discovery;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** What a broker says of itself in ZooKeeper, as far as a worker needs it. */
record BrokerNode(String id, String host, int port, List<String> protocols) {
    /** */
    static final int NODE_BYTES_MAX = 4_096;
    /** a worker dials no more. */
    static final int BROKERS_MAX = 64;

    private static final String SERVICE = "brokers";
    private static final String TLS = "hera/1+tls";
    private static final String TCP = "hera/1+tcp";
    private static final Pattern ID = Pattern.compile("[a-z0-9-]{1,32}");
    private static final Pattern HOST = Pattern.compile("[A-Za-z0-9.-]{1,253}");
    private static final Pattern IPV6 = Pattern.compile("[0-9A-Fa-f:.]{2,45}");
    private static final ObjectMapper MAPPER = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(64).build())
                    .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
                    .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /** Why a node is left out; the names are those of spec/vectors. */
    enum Skip {
        BAD_NAME,
        UNREADABLE,
        TOO_LARGE,
        BAD_JSON,
        BAD_NODE,
        NO_PROTOCOL
    }

    /** A node that is left out. */
    static final class SkippedException extends Exception {
        private static final long serialVersionUID = 1L;
        private final Skip why;

        SkippedException(Skip why) {
            super(why.name(), null, false, false);
            this.why = why;
        }

        Skip why() {
            return why;
        }
    }

    /** Whether a child of {@code /brokers} can be a broker's: its name is the broker's id. */
    static boolean isId(String name) {
        return ID.matcher(name).matches();
    }

    /** Reads the data of the child {@code name}. */
    static BrokerNode read(String name, byte[] data) throws SkippedException {
        if (!isId(name)) throw new SkippedException(Skip.BAD_NAME);
        if (data.length > NODE_BYTES_MAX) throw new SkippedException(Skip.TOO_LARGE);
        JsonNode value = json(data);
        BrokerNode node = of(value);
        boolean itsOwn = node.id.equals(name) && value.path("name").asText().equals(SERVICE) && value.path("name").isTextual();
        if (!itsOwn) throw new SkippedException(Skip.BAD_NODE);
        if (!node.protocols.contains(TLS) && !node.protocols.contains(TCP)) throw new SkippedException(Skip.NO_PROTOCOL);
        return node;
    }

    /** Reads a broker from JSON of a node or of the saved list; what else is in it is left. */
    static BrokerNode of(JsonNode value) throws SkippedException {
        JsonNode port = value.path("port");
        String id = value.path("id").textValue();
        String host = value.path("address").textValue();
        boolean fits = id != null && isId(id) && host != null && isHost(host) && isPort(port) && value.path("protocols").isArray();
        if (!fits) throw new SkippedException(Skip.BAD_NODE);
        List<String> protocols = new ArrayList<>();
        for (JsonNode protocol : value.path("protocols")) {
            if (!protocol.isTextual()) throw new SkippedException(Skip.BAD_NODE);
            protocols.add(protocol.textValue());
        }
        return new BrokerNode(id, host, port.intValue(), List.copyOf(protocols));
    }

    /** Where to dial it: by TLS where it has that. */
    Broker broker() {
        return new Broker(id, new Address(host, port, protocols.contains(TLS)));
    }

    private static boolean isPort(JsonNode port) {
        boolean whole = port.isIntegralNumber() || port.isNumber() && port.doubleValue() == Math.rint(port.doubleValue());
        return whole && port.doubleValue() >= 1 && port.doubleValue() <= 65_535;
    }

    private static boolean isHost(String host) {
        return HOST.matcher(host).matches() || host.indexOf(':') >= 0 && IPV6.matcher(host).matches() && isIpv6(host);
    }

    /** By the JDK, which asks no name server for what has a colon. */
    private static boolean isIpv6(String host) {
        try {
            return java.net.InetAddress.getByName("[" + host + "]") != null;
        } catch (java.net.UnknownHostException notAnAddress) {
            return false;
        }
    }

    static JsonNode json(byte[] data) throws SkippedException {
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString();
            try (JsonParser parser = MAPPER.createParser(text)) {
                JsonNode value = MAPPER.readTree(parser);
                if (value == null || value.isMissingNode() || parser.nextToken() != null) throw new SkippedException(Skip.BAD_JSON);
                return value;
            }
        } catch (IOException notJson) {
            throw new SkippedException(Skip.BAD_JSON);
        }
    }
}

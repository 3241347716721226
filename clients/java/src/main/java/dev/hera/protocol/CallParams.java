package dev.hera.protocol;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.hera.Caller;
import dev.hera.Headers;
import dev.hera.Trace;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Params of a call (P-32), read in one pass without a tree in between. */
public final class CallParams {
    private static final Caller NOBODY = new Caller(Optional.empty(), Map.of(), "", Optional.empty());

    private String method;
    private String target;
    private String path;
    private Optional<String> query = Optional.empty();
    private Map<String, String> pathParams = Map.of();
    private Headers headers = Headers.none();
    private String requestId;
    private Caller caller = NOBODY;
    private Optional<Trace> trace = Optional.empty();
    private long timeoutMs = -1;
    private boolean more;
    private List<String> chain = List.of();

    private CallParams() {}

    /** The params; nothing where they are not such as P-32 asks for. */
    public static Optional<CallParams> read(Json.Slice params) {
        if (!params.isThere()) return Optional.empty();
        CallParams read = new CallParams();
        try (JsonParser json = params.parser()) {
            if (json.nextToken() != JsonToken.START_OBJECT) return Optional.empty();
            Set<String> seen = new HashSet<>(32);
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String name = json.currentName();
                json.nextToken();
                if (read.member(json, name) && !seen.add(name)) return Optional.empty();
            }
        } catch (IOException | Unfit notThose) {
            return Optional.empty();
        }
        boolean whole = read.method != null && read.target != null && read.path != null && read.requestId != null;
        return whole && read.timeoutMs >= 0 ? Optional.of(read) : Optional.empty();
    }

    /** Gives whether this is a member of ours. */
    private boolean member(JsonParser json, String name) throws IOException, Unfit {
        switch (name) {
            case "method" -> method = text(json);
            case "target" -> target = text(json);
            case "path" -> path = text(json);
            case "query" -> query = textOrNull(json);
            case "path_params" -> pathParams = texts(json);
            case "headers" -> headers = headers(json);
            case "request_id" -> requestId = text(json);
            case "caller" -> caller = caller(json);
            case "trace" -> trace = trace(json);
            case "timeout_ms" -> timeoutMs = timeout(json);
            case "more" -> more = flag(json);
            case "chain" -> chain = list(json);
            default -> {
                json.skipChildren();
                return false;
            }
        }
        return true;
    }

    private static String text(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.VALUE_STRING) throw new Unfit();
        return json.getText();
    }

    private static Optional<String> textOrNull(JsonParser json) throws IOException, Unfit {
        return json.currentToken() == JsonToken.VALUE_NULL ? Optional.empty() : Optional.of(text(json));
    }

    private static boolean flag(JsonParser json) throws Unfit {
        if (!json.currentToken().isBoolean()) throw new Unfit();
        return json.currentToken() == JsonToken.VALUE_TRUE;
    }

    private static long timeout(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.VALUE_NUMBER_INT) throw new Unfit();
        long value = json.getText().length() > 18 ? Long.MAX_VALUE : json.getLongValue();
        if (value < 0) throw new Unfit();
        return Math.min(value, Limits.TIMEOUT_MS_MAX);
    }

    private static Map<String, String> texts(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.START_OBJECT) throw new Unfit();
        if (json.nextToken() == JsonToken.END_OBJECT) return Map.of();
        Map<String, String> texts = new LinkedHashMap<>();
        do {
            String name = json.currentName();
            json.nextToken();
            if (texts.put(name, text(json)) != null) throw new Unfit();
        } while (json.nextToken() != JsonToken.END_OBJECT);
        return texts;
    }

    private static List<String> list(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.START_ARRAY) throw new Unfit();
        List<String> texts = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) texts.add(text(json));
        return List.copyOf(texts);
    }

    private static Headers headers(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.START_ARRAY) throw new Unfit();
        Headers.Builder headers = Headers.builder();
        while (json.nextToken() != JsonToken.END_ARRAY) {
            if (json.currentToken() != JsonToken.START_ARRAY) throw new Unfit();
            json.nextToken();
            String name = text(json);
            json.nextToken();
            headers.add(name, text(json));
            if (json.nextToken() != JsonToken.END_ARRAY) throw new Unfit();
        }
        return headers.build();
    }

    private static Caller caller(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() != JsonToken.START_OBJECT) throw new Unfit();
        Optional<String> token = Optional.empty();
        Optional<String> service = Optional.empty();
        Map<String, String> labels = Map.of();
        String ip = "";
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String name = json.currentName();
            json.nextToken();
            switch (name) {
                case "token" -> token = textOrNull(json);
                case "service" -> service = textOrNull(json);
                case "labels" -> labels = texts(json);
                case "ip" -> ip = text(json);
                default -> json.skipChildren();
            }
        }
        return new Caller(token, labels, ip, service);
    }

    private static Optional<Trace> trace(JsonParser json) throws IOException, Unfit {
        if (json.currentToken() == JsonToken.VALUE_NULL) return Optional.empty();
        if (json.currentToken() != JsonToken.START_OBJECT) throw new Unfit();
        Optional<String> parent = Optional.empty();
        Optional<String> state = Optional.empty();
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String name = json.currentName();
            json.nextToken();
            switch (name) {
                case "traceparent" -> parent = textOrNull(json);
                case "tracestate" -> state = textOrNull(json);
                default -> json.skipChildren();
            }
        }
        Optional<String> tracestate = state;
        return parent.map(traceparent -> new Trace(traceparent, tracestate));
    }

    public String method() {
        return method;
    }

    public String target() {
        return target;
    }

    public String path() {
        return path;
    }

    public Optional<String> query() {
        return query;
    }

    public Map<String, String> pathParams() {
        return pathParams;
    }

    public Headers headers() {
        return headers;
    }

    public String requestId() {
        return requestId;
    }

    public Caller caller() {
        return caller;
    }

    public Optional<Trace> trace() {
        return trace;
    }

    /** At most 300,000. */
    public long timeoutMs() {
        return timeoutMs;
    }

    /** The body goes on in chunks behind the attachment. */
    public boolean more() {
        return more;
    }

    /** The chain of a remote call that is made within this one: this call's own name is its last (P-53). */
    public List<String> chainWithin() {
        List<String> names = new ArrayList<>(chain);
        names.add(name(method, path, query));
        return names;
    }

    /** The name of a call in a chain. */
    static String name(String method, String path, Optional<String> query) {
        String text = method + " " + path + query.map(raw -> "?" + raw).orElse("");
        return HexFormat.of().formatHex(Proof.sha256(text.getBytes(StandardCharsets.UTF_8))).substring(0, 16);
    }

    /** Not what the specification asks for. */
    static final class Unfit extends Exception {
        private static final long serialVersionUID = 1L;

        Unfit() {
            super("not the params of a call", null, false, false);
        }
    }
}

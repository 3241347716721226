package dev.hera.protocol;

import dev.hera.HeraException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An endpoint as it is declared, {@code GET /0/users/{id}} (P-28, P-29), checked before any broker has to refuse it.
 *
 * @param text as it was declared
 * @param shape method and pattern without the names: two endpoints of one shape are one too many
 * @param names of the parameters, in order
 */
public record EndpointPattern(String text, String method, String shape, List<String> names) {
    private static final Pattern METHOD = Pattern.compile("\\*|[A-Z0-9!#$%&'*+.^_`|~-]{1,32}");
    private static final Pattern PARAMETER = Pattern.compile("\\{(\\*?)([A-Za-z_][A-Za-z0-9_]*)\\}");

    /** @throws HeraException {@code bad_endpoint} */
    public static EndpointPattern parse(String text) {
        int bytes = text.getBytes(StandardCharsets.UTF_8).length;
        if (bytes > Limits.ENDPOINT_BYTES_MAX) {
            throw bad("endpoint of " + bytes + " bytes exceeds the limit of " + Limits.ENDPOINT_BYTES_MAX);
        }
        int space = text.indexOf(' ');
        if (space < 0) throw bad(text, "is not `METHOD /pattern` with one space");
        String method = text.substring(0, space);
        String pattern = text.substring(space + 1);
        if (!METHOD.matcher(method).matches()) {
            throw bad(text, "has a method that is neither `*` nor an upper-case token of 1 to 32 bytes");
        }
        if (!pattern.startsWith("/")) throw bad(text, "has a pattern that does not begin with a slash");
        if (pattern.equals("/")) throw bad(text, "is `/` alone, which cannot be served");
        List<String> names = new ArrayList<>();
        String shape = shape(text, pattern, names);
        return new EndpointPattern(text, method, method + " " + shape, List.copyOf(names));
    }

    private static String shape(String text, String pattern, List<String> names) {
        String[] segments = pattern.substring(1).split("/", -1);
        if (segments.length > Limits.SEGMENTS_MAX) {
            throw bad("pattern of " + segments.length + " segments exceeds the limit of " + Limits.SEGMENTS_MAX);
        }
        StringBuilder shape = new StringBuilder();
        boolean tail = false;
        for (String segment : segments) {
            if (tail) throw bad(text, "has a tail that is not the last segment");
            Matcher parameter = PARAMETER.matcher(segment);
            shape.append('/');
            if (parameter.matches()) {
                if (names.contains(parameter.group(2))) throw bad(text, "has the name " + parameter.group(2) + " twice");
                names.add(parameter.group(2));
                tail = !parameter.group(1).isEmpty();
                shape.append(tail ? "{*}" : "{}");
            } else {
                shape.append(literal(text, segment));
            }
        }
        if (shape.toString().equals("/-") || shape.toString().startsWith("/-/")) {
            throw bad(text, "lies under `/-`, which is never routed");
        }
        return shape.toString();
    }

    private static String literal(String text, String segment) {
        if (segment.indexOf('{') >= 0 || segment.indexOf('}') >= 0) {
            throw bad(text, "has a segment that is neither literal text, `{name}` nor `{*name}`");
        }
        if (segment.indexOf('?') >= 0) throw bad(text, "has a `?`; queries are not matched");
        if (segment.indexOf(' ') >= 0) throw bad(text, "has a space; write `%20`");
        if (segment.isEmpty()) throw bad(text, "has an empty segment, or a slash at its end");
        try {
            return CanonicalPath.of("/" + segment).substring(1);
        } catch (CanonicalPath.BadPathException cause) {
            throw bad(text, "cannot be a path: " + cause.getMessage());
        }
    }

    private static HeraException bad(String text, String problem) {
        return bad("endpoint `" + text + "` " + problem);
    }

    private static HeraException bad(String message) {
        return new HeraException("bad_endpoint", message);
    }
}

package dev.hera.protocol;

import dev.hera.Headers;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;

/** Which answers may be sent (P-33, P-34): what a broker would call {@code bad_reply} fails here, where its cause can be seen. */
public final class ReplyRules {
    private static final String TOKEN_MARKS = "!#$%&'*+-.^_`|~";

    private ReplyRules() {}

    /** Why this answer may not be sent; nothing when it may. */
    public static Optional<String> problem(int status, Headers headers) {
        if (!isStatus(status)) return Optional.of("status " + status + " is not one of 200 to 599, without 425");
        if (headers.size() > Limits.REPLY_HEADERS_MAX) {
            return Optional.of(headers.size() + " headers exceed the limit of " + Limits.REPLY_HEADERS_MAX);
        }
        int bytes = 0;
        for (Map.Entry<String, String> header : headers) {
            if (!isName(header.getKey())) return Optional.of("header name \"" + printable(header.getKey()) + "\" is not a token");
            if (!isValue(header.getValue())) {
                return Optional.of("value of header " + header.getKey() + " has a control byte or a code point over U+00FF");
            }
            bytes += header.getKey().length() + header.getValue().getBytes(StandardCharsets.UTF_8).length;
        }
        if (bytes > Limits.REPLY_HEADER_BYTES_MAX) {
            return Optional.of("headers of " + bytes + " bytes exceed the limit of " + Limits.REPLY_HEADER_BYTES_MAX);
        }
        return Optional.empty();
    }

    /** Whether a worker may answer with this status. */
    public static boolean isStatus(int status) {
        return status >= 200 && status <= 599 && status != 425;
    }

    /** Whether this is an RFC 9110 token. */
    public static boolean isName(String name) {
        if (name.isEmpty()) return false;
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            boolean letter = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z';
            if (!letter && !(c >= '0' && c <= '9') && TOKEN_MARKS.indexOf(c) < 0) return false;
        }
        return true;
    }

    /** Whether this may be the value of a header. */
    public static boolean isValue(String value) {
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c > 0xff || c == 0x7f || c < 0x20 && c != '\t') return false;
        }
        return true;
    }

    private static String printable(String text) {
        return text.replaceAll("[^\\x20-\\x7e]", "?");
    }
}

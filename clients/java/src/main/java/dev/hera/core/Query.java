package dev.hera.core;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A query, decoded as HTML forms are: {@code +} is a space, {@code %xx} a byte of UTF-8; an escape that is none stays as it is. */
record Query(Map<String, List<String>> values) {
    static Query parse(String raw) {
        Map<String, List<String>> values = new HashMap<>();
        for (String pair : raw.split("&")) {
            if (pair.isEmpty()) continue;
            int equals = pair.indexOf('=');
            String name = equals < 0 ? pair : pair.substring(0, equals);
            String value = equals < 0 ? "" : pair.substring(equals + 1);
            values.computeIfAbsent(decode(name), none -> new ArrayList<>()).add(decode(value));
        }
        return new Query(values);
    }

    /** All values of a name, in order. */
    List<String> all(String name) {
        return values.getOrDefault(name, List.of());
    }

    private static String decode(String text) {
        if (text.indexOf('%') < 0 && text.indexOf('+') < 0) return text;
        byte[] raw = text.getBytes(StandardCharsets.UTF_8);
        ByteArrayOutputStream decoded = new ByteArrayOutputStream(raw.length);
        for (int at = 0; at < raw.length; at++) {
            int value = raw[at] == '%' && at + 2 < raw.length ? pair(raw[at + 1], raw[at + 2]) : -1;
            if (value >= 0) {
                decoded.write(value);
                at += 2;
            } else {
                decoded.write(raw[at] == '+' ? ' ' : raw[at]);
            }
        }
        return decoded.toString(StandardCharsets.UTF_8);
    }

    private static int pair(byte high, byte low) {
        if (high < 0 || low < 0) return -1;
        int first = Character.digit(high, 16);
        int second = Character.digit(low, 16);
        return first < 0 || second < 0 ? -1 : first << 4 | second;
    }
}

package dev.hera.protocol;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** The canonical form of a request path (P-46, P-47); doing it twice changes nothing. */
public final class CanonicalPath {
    private static final String PATH_BYTES = "-._~!$&'()*+,;=:@/";
    private static final String UNRESERVED = "-._~";
    private static final String HEX = "0123456789ABCDEF";

    private CanonicalPath() {}

    /** @throws BadPathException what is wrong with the path */
    public static String of(String path) throws BadPathException {
        return of(path.getBytes(StandardCharsets.UTF_8));
    }

    /** The same for the bytes of a path, which need not be UTF-8. */
    public static String of(byte[] raw) throws BadPathException {
        if (raw.length == 0 || raw[0] != '/') throw new BadPathException("path does not begin with /");
        StringBuilder path = new StringBuilder(raw.length);
        ByteBuffer decoded = ByteBuffer.allocate(raw.length);
        for (int at = 0; at < raw.length; at++) {
            boolean escaped = raw[at] == '%';
            int value = escaped ? escape(raw, at) : raw[at] & 0xff;
            if (escaped) at += 2;
            if (value < 0x20 || value == 0x7f) throw new BadPathException("path has a control byte");
            if (value == '\\') throw new BadPathException("path has a backslash");
            if (value == '/' && escaped) throw new BadPathException("path has an escaped slash");
            if (value == '#' && !escaped) throw new BadPathException("path has a fragment");
            decoded.put((byte) value);
            if (isPlain(value, escaped ? UNRESERVED : PATH_BYTES)) path.append((char) value);
            else path.append('%').append(HEX.charAt(value >> 4)).append(HEX.charAt(value & 15));
        }
        checkUtf8(decoded.flip());
        return checked(path);
    }

    private static String checked(StringBuilder path) throws BadPathException {
        if (path.indexOf("//") >= 0) throw new BadPathException("path has an empty segment");
        for (String segment : path.substring(1).split("/")) {
            if (segment.equals(".") || segment.equals("..")) throw new BadPathException("path has a dot segment");
        }
        if (path.length() > 1 && path.charAt(path.length() - 1) == '/') path.setLength(path.length() - 1);
        return path.toString();
    }

    private static int escape(byte[] raw, int at) throws BadPathException {
        int high = at + 2 < raw.length ? digit(raw[at + 1]) : -1;
        int low = at + 2 < raw.length ? digit(raw[at + 2]) : -1;
        if (high < 0 || low < 0) throw new BadPathException("path has a bad escape");
        return high << 4 | low;
    }

    private static int digit(byte character) {
        // Character.digit takes digits of other scripts too, but a byte is none of them.
        return character < 0 ? -1 : Character.digit(character, 16);
    }

    private static boolean isPlain(int value, String marks) {
        boolean letter = value >= 'a' && value <= 'z' || value >= 'A' && value <= 'Z';
        return letter || value >= '0' && value <= '9' || marks.indexOf(value) >= 0;
    }

    private static void checkUtf8(ByteBuffer bytes) throws BadPathException {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(bytes);
        } catch (CharacterCodingException notUtf8) {
            throw new BadPathException("path is not UTF-8");
        }
    }

    /** Why a path has no canonical form. */
    public static final class BadPathException extends Exception {
        private static final long serialVersionUID = 1L;

        BadPathException(String message) {
            super(message);
        }
    }
}

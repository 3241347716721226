package dev.hera.protocol;

/** One frame: a head of JSON, and an attachment of raw bytes (P-1, P-2). Nobody changes the arrays. */
public record Frame(byte[] head, byte[] attachment) {
    /** Bytes before the head: {@code u32 length}, {@code u32 head length}. */
    public static final int PREFIX_BYTES = 8;
    public static final byte[] NOTHING = new byte[0];

    public Frame(byte[] head) {
        this(head, NOTHING);
    }

    /** All of it on the wire. */
    public int bytes() {
        return PREFIX_BYTES + head.length + attachment.length;
    }

    /** What goes before the head. */
    public byte[] prefix() {
        byte[] prefix = new byte[PREFIX_BYTES];
        put(prefix, 0, 4 + head.length + attachment.length);
        put(prefix, 4, head.length);
        return prefix;
    }

    private static void put(byte[] bytes, int at, int value) {
        for (int i = 0; i < 4; i++) bytes[at + i] = (byte) (value >>> (24 - 8 * i));
    }
}

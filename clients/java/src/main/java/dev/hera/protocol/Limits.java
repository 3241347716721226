package dev.hera.protocol;

/** Limits of the worker wire that this side keeps; a test keeps them equal to spec/limits.md. */
public final class Limits {
    public static final int HEAD_BYTES_MAX = 262_144;
    public static final int ATTACHMENT_BYTES_MAX = 262_144;
    public static final int HANDSHAKE_HEAD_BYTES_MAX = 4_096;
    public static final int HANDSHAKE_ATTACHMENT_BYTES_MAX = 64;
    public static final int HANDSHAKE_MS_MAX = 5_000;
    public static final int IN_FLIGHT_MAX = 1_024;
    public static final int ENDPOINTS_MAX = 1_000;
    public static final int ENDPOINT_BYTES_MAX = 1_024;
    public static final int SEGMENTS_MAX = 64;
    public static final int TIMEOUT_MS_MAX = 300_000;
    public static final int REPLY_HEADERS_MAX = 100;
    public static final int REPLY_HEADER_BYTES_MAX = 65_536;
    public static final int STREAM_WINDOW_BYTES = 262_144;
    public static final int BAD_HEADS_MAX = 3;
    public static final int UNKNOWN_REPLIES_MAX = 100;
    public static final int CALL_HEADERS_MAX = 100;
    public static final int CALL_HEADER_BYTES_MAX = 16_384;
    public static final int JSON_DEPTH_MAX = 64;

    private Limits() {}
}

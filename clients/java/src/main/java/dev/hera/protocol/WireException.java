package dev.hera.protocol;

/** A fault of the peer, or of what it said, by its code of spec/errors.md. */
public final class WireException extends Exception {
    private static final long serialVersionUID = 1L;
    private final Code code;

    public WireException(Code code, String message) {
        super(message);
        this.code = code;
    }

    public Code code() {
        return code;
    }
}

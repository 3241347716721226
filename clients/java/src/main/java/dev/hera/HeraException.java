package dev.hera;

import java.util.List;
import java.util.Optional;

/**
 * Every error of this library. Decide by {@link #code()}: one of {@code spec/errors.md}, or one of the guide's table; the text is for
 * people.
 *
 * <p>A handler may throw one with a status: the caller gets that status, the code and the message as {@code application/problem+json}.
 * One without a status is {@code handler_failed} to the caller, as any other exception is, and its text stays in the log.
 */
public final class HeraException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String code;
    private final int status;
    private final transient List<RefusedEndpoint> endpoints;

    /**
     * An error without a status.
     *
     * @param code a word such as {@code no_item}
     * @param message for people
     */
    public HeraException(String code, String message) {
        this(code, message, 0, List.of(), null);
    }

    /**
     * An error without a status, and what caused it.
     *
     * @param code a word such as {@code no_item}
     * @param message for people
     * @param cause what was thrown
     */
    public HeraException(String code, String message, Throwable cause) {
        this(code, message, 0, List.of(), cause);
    }

    /**
     * What a caller is to be answered.
     *
     * @param status 400 to 599
     * @param code a word such as {@code no_item}
     * @param message for the caller
     * @throws IllegalArgumentException for any other status
     */
    public HeraException(int status, String code, String message) {
        this(code, message, status, List.of(), null);
        if (status < 400 || status > 599) throw new IllegalArgumentException("status " + status + " is not one of 400 to 599");
    }

    /**
     * A refused declaration.
     *
     * @param message for people
     * @param endpoints what was refused
     * @return an error {@code declaration_refused}
     */
    public static HeraException declarationRefused(String message, List<RefusedEndpoint> endpoints) {
        return new HeraException("declaration_refused", message, 0, List.copyOf(endpoints), null);
    }

    private HeraException(String code, String message, int status, List<RefusedEndpoint> endpoints, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.status = status;
        this.endpoints = endpoints;
    }

    /** {@return the stable name of what went wrong} */
    public String code() {
        return code;
    }

    /** {@return the status that the caller gets, when there is one} */
    public Optional<Integer> status() {
        return status == 0 ? Optional.empty() : Optional.of(status);
    }

    /** {@return the refused endpoints, where the code is {@code declaration_refused}} */
    public List<RefusedEndpoint> endpoints() {
        return endpoints == null ? List.of() : endpoints;
    }
}

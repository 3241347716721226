package dev.hera;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * Every error of this library. Decide by {@link #code()}: one of {@code spec/errors.md}, or one of the guide's table; the text is for
 * people.
 *
 * <p>A handler may throw one with a status: the caller gets that status, the code and the message as {@code application/problem+json}.
 * One without a status is {@code handler_failed} to the caller, as any other exception is, and its text stays in the log. One of a call to another
 * service that nobody answered is {@code call_failed} with status 503, 504 or 508 where it has that, else 502: a service that may not call another
 * never answers its own callers with 403.
 */
public final class HeraException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The stable name of what went wrong. */
    private final String code;

    /** The status that a caller gets; 0 where there is none. */
    private final int status;

    /** What was refused, of a declaration. */
    private final transient List<RefusedEndpoint> endpoints;

    /** Of a failed call, {@code no} or {@code maybe}; else empty. */
    private final String executed;

    /** Of a failed call; else empty. */
    private final String requestId;

    /** Seconds; 0 where nobody knows. */
    private int retryAfter;

    /**
     * An error without a status.
     *
     * @param code a word such as {@code no_item}
     * @param message for people
     */
    public HeraException(String code, String message) {
        this(code, message, 0, List.of(), "", "", null);
    }

    /**
     * An error without a status, and what caused it.
     *
     * @param code a word such as {@code no_item}
     * @param message for people
     * @param cause what was thrown
     */
    public HeraException(String code, String message, Throwable cause) {
        this(code, message, 0, List.of(), "", "", cause);
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
        this(code, message, status, List.of(), "", "", null);
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
        return new HeraException("declaration_refused", message, 0, List.copyOf(endpoints), "", "", null);
    }

    /**
     * A call to another service that nobody answered.
     *
     * @param code why
     * @param message for people
     * @param status that a caller would have got; 0 for none
     * @param executed {@code no} or {@code maybe}
     * @param requestId of the call
     * @param retryAfter seconds after which another try may be worth it; 0 where nobody knows
     * @return the error
     */
    public static HeraException ofCall(String code, String message, int status, String executed, String requestId, int retryAfter) {
        HeraException failed = new HeraException(code, message, status, List.of(), executed, requestId, null);
        failed.retryAfter = retryAfter;
        return failed;
    }

    /**
     * {@return the same failure of a call that an earlier attempt may have run}
     */
    public HeraException thatMayHaveRun() {
        return ofCall(code, getMessage(), status, "maybe", requestId, retryAfter);
    }

    private HeraException(
            String code, String message, int status, List<RefusedEndpoint> endpoints, String executed, String requestId, Throwable cause) {
        super(message);
        if (cause != null) initCause(cause);
        this.code = code;
        this.status = status;
        this.endpoints = endpoints;
        this.executed = executed;
        this.requestId = requestId;
    }

    /** {@return the stable name of what went wrong} */
    public String code() {
        return code;
    }

    /** {@return the status that a caller gets, when there is one} */
    public Optional<Integer> status() {
        return status == 0 ? Optional.empty() : Optional.of(status);
    }

    /** {@return whether a worker may have begun the call that failed: {@code no} or {@code maybe}; nothing where this is no failed call} */
    public Optional<String> executed() {
        return executed.isEmpty() ? Optional.empty() : Optional.of(executed);
    }

    /** {@return the request id of the call that failed, when there is one} */
    public Optional<String> requestId() {
        return requestId.isEmpty() ? Optional.empty() : Optional.of(requestId);
    }

    /** {@return after how long another try of the call that failed may be worth it, where the broker says so} */
    public Optional<Duration> retryAfter() {
        return retryAfter == 0 ? Optional.empty() : Optional.of(Duration.ofSeconds(retryAfter));
    }

    /** {@return the refused endpoints, where the code is {@code declaration_refused}} */
    public List<RefusedEndpoint> endpoints() {
        return endpoints == null ? List.of() : endpoints;
    }
}

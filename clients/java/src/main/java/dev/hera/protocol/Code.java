package dev.hera.protocol;

import java.util.Locale;
import java.util.Optional;

/** Codes that travel in error responses, with their JSON-RPC numbers. A test keeps this equal to spec/errors.md. */
public enum Code {
    PARSE_ERROR(-32700),
    INVALID_REQUEST(-32600),
    UNKNOWN_METHOD(-32601),
    INVALID_PARAMS(-32602),
    INTERNAL_ERROR(-32603),
    HANDLER_FAILED(-32000),
    BUSY(-32001),
    DRAINING(-32002),
    PAST_DEADLINE(-32003),
    CANCELLED(-32004),
    HANDSHAKE_REQUIRED(-32010),
    UNSUPPORTED_VERSION(-32011),
    UNAUTHENTICATED(-32012),
    HANDSHAKE_TIMEOUT(-32013),
    DECLARATION_REFUSED(-32020),
    BAD_ENDPOINT(-32021),
    DUPLICATE_ENDPOINT(-32022),
    ENDPOINT_FORBIDDEN(-32023),
    TOO_MANY_ENDPOINTS(-32024),
    BAD_FRAME(-32030),
    FRAME_TOO_LARGE(-32031),
    CREDIT_EXCEEDED(-32032),
    BAD_REQUEST(-32040),
    BAD_PATH(-32041),
    FORBIDDEN(-32042),
    NOT_FOUND(-32043),
    METHOD_NOT_ALLOWED(-32044),
    REQUEST_TIMEOUT(-32045),
    CALL_CYCLE(-32057),
    CALL_TOO_DEEP(-32058),
    BODY_TOO_LARGE(-32046),
    URI_TOO_LONG(-32047),
    RATE_LIMITED(-32048),
    HEAD_TOO_LARGE(-32049),
    BAD_REPLY(-32050),
    WORKER_LOST(-32051),
    NO_WORKER(-32052),
    WORKERS_BUSY(-32053),
    OVERLOADED(-32014),
    REGISTRY_UNAVAILABLE(-32054),
    DEADLINE_EXCEEDED(-32055),
    DRAIN_TIMEOUT(-32056);

    private final int number;
    private final String text = name().toLowerCase(Locale.ROOT);

    Code(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    /** The name as it stands in spec/errors.md. */
    public String text() {
        return text;
    }

    public static Optional<Code> ofNumber(long number) {
        for (Code code : values()) {
            if (code.number == number) return Optional.of(code);
        }
        return Optional.empty();
    }
}

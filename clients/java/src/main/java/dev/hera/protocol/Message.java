package dev.hera.protocol;

import java.util.Optional;

/** The head of a frame: one JSON-RPC 2.0 message (P-6), or what is wrong with it (P-10). */
public sealed interface Message {
    /** Asks for an answer. */
    record Request(long id, String method, Json.Slice params) implements Message {}

    /** Asks for none. */
    record Notification(String method, Json.Slice params) implements Message {}

    /** An answer: exactly one of {@code result} and {@code error} is there. */
    record Response(Id id, Json.Slice result, Json.Slice error) implements Message {
        public boolean failed() {
            return error.isThere();
        }
    }

    /** No message; {@code id} where one can be made out. */
    record Bad(Code code, Optional<Long> id, String reason) implements Message {}

    /** The id of a response: a number, null ({@link #NONE}), or a form that is never issued ({@link #FOREIGN}; P-7). */
    record Id(long number) {
        public static final Id NONE = new Id(0);
        public static final Id FOREIGN = new Id(-1);

        public boolean isNumber() {
            return number > 0;
        }
    }
}

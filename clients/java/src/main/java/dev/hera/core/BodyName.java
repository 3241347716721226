package dev.hera.core;

import dev.hera.protocol.Heads;
import dev.hera.protocol.Json;

/**
 * How notifications name a body (P-38, P-54).
 *
 * @param whose {@code call} or {@code reply}
 * @param remote whether the call is one of ours
 */
record BodyName(long id, String whose, boolean remote) {
    /** The body of a broker's call. */
    static BodyName ofCall(long id) {
        return new BodyName(id, "call", false);
    }

    /** The body of our answer to it. */
    static BodyName ofReply(long id) {
        return new BodyName(id, "reply", false);
    }

    /** The body of a call of ours. */
    static BodyName ofRemoteCall(long id) {
        return new BodyName(id, "call", true);
    }

    /** The body of the answer to it. */
    static BodyName ofRemoteReply(long id) {
        return new BodyName(id, "reply", true);
    }

    /** A notification about it, with these members beside its name. */
    byte[] notification(String method, Json.Members more) {
        return Heads.notification(method, id, json -> {
            json.writeStringField("body", whose);
            if (remote) json.writeBooleanField("remote", true);
            more.write(json);
        });
    }
}

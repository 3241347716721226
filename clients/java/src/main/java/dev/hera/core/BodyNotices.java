package dev.hera.core;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.protocol.Code;
import java.util.Optional;

/**
 * Brings notifications about bodies to these (P-38 to P-40): of a broker's call, whose body comes in and whose reply goes out, and of a call of ours,
 * where it is the other way round (P-54). On the loop.
 */
final class BodyNotices {
    private final Session session;

    BodyNotices(Session session) {
        this.session = session;
    }

    /** About a call of the broker's. */
    void ofCall(Call call, String method, JsonNode params, byte[] attachment) {
        String body = params.path("body").asText();
        if (body.equals("call")) call.incoming().ifPresent(incoming -> receive(incoming, method, attachment));
        if (body.equals("reply")) call.outgoing().ifPresent(outgoing -> send(outgoing, method, params));
    }

    /** About a call of ours. */
    void ofRemoteCall(RemoteCall call, String method, JsonNode params, byte[] attachment) {
        String body = params.path("body").asText();
        if (body.equals("reply")) call.receiving().ifPresent(incoming -> receive(incoming, method, attachment));
        if (body.equals("call")) call.sending().ifPresent(outgoing -> send(outgoing, method, params));
    }

    private void receive(Incoming body, String method, byte[] attachment) {
        switch (method) {
            case "chunk" -> {
                if (attachment.length == 0) session.fatal(Code.INVALID_REQUEST, "chunk is empty");
                else if (!body.push(attachment)) session.fatal(Code.CREDIT_EXCEEDED, "more chunk bytes than were granted");
            }
            case "end" -> body.end();
            case "reset" -> body.fail("body was cut short by its sender");
            default -> {}
        }
    }

    private void send(Outgoing body, String method, JsonNode params) {
        switch (method) {
            case "credit" -> {
                JsonNode bytes = params.path("bytes");
                boolean fits = bytes.isInt() && bytes.intValue() >= 1;
                if (!fits) session.fatal(Code.INVALID_PARAMS, "credit is not 1 to 2^31 - 1 bytes");
                else if (!body.credit(bytes.intValue())) session.fatal(Code.CREDIT_EXCEEDED, "credit is over 2^31 - 1 bytes");
            }
            case "reset" -> body.close("receiver wants no more of this body");
            default -> {}
        }
    }
}

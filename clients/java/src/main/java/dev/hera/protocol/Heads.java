package dev.hera.protocol;

/** The heads that a worker writes. */
public final class Heads {
    public static final Json.Members NO_MEMBERS = json -> {};

    private Heads() {}

    /** A request with these members as its params. */
    public static byte[] request(long id, String method, Json.Members params) {
        return Json.object(json -> {
            json.writeStringField("jsonrpc", "2.0");
            json.writeNumberField("id", id);
            json.writeStringField("method", method);
            json.writeObjectFieldStart("params");
            params.write(json);
            json.writeEndObject();
        });
    }

    /** A notification about a body or a call: {@code id} first, then these members. */
    public static byte[] notification(String method, long id, Json.Members params) {
        return Json.object(json -> {
            json.writeStringField("jsonrpc", "2.0");
            json.writeStringField("method", method);
            json.writeObjectFieldStart("params");
            json.writeNumberField("id", id);
            params.write(json);
            json.writeEndObject();
        });
    }

    /** A response with these members as its result. */
    public static byte[] result(long id, Json.Members result) {
        return Json.object(json -> {
            json.writeStringField("jsonrpc", "2.0");
            json.writeNumberField("id", id);
            json.writeObjectFieldStart("result");
            result.write(json);
            json.writeEndObject();
        });
    }

    /** An error response (P-13). */
    public static byte[] failure(long id, Code code, String message) {
        return failure(new Message.Id(id), code, message);
    }

    /** An error response; with {@link Message.Id#NONE} one for a fault that belongs to no request (P-12). */
    public static byte[] failure(Message.Id id, Code code, String message) {
        return Json.object(json -> {
            json.writeStringField("jsonrpc", "2.0");
            if (id.isNumber()) json.writeNumberField("id", id.number());
            else json.writeNullField("id");
            json.writeObjectFieldStart("error");
            json.writeNumberField("code", code.number());
            json.writeStringField("message", message);
            json.writeObjectFieldStart("data");
            json.writeStringField("code", code.text());
            json.writeEndObject();
            json.writeEndObject();
        });
    }
}

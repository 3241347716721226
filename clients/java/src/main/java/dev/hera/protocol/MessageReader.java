package dev.hera.protocol;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.Optional;

/**
 * Reads one head (P-6 to P-10): what kind of message it is, its id and method. What stands inside params, result or error is checked
 * to be JSON and left for whoever needs it.
 */
public final class MessageReader {
    private static final long ID_MAX = (1L << 53) - 1;
    private static final int ID_DIGITS_MAX = 16;

    private static final int JSONRPC = 1;
    private static final int ID = 2;
    private static final int METHOD = 4;
    private static final int PARAMS = 8;
    private static final int RESULT = 16;
    private static final int ERROR = 32;

    private final byte[] head;
    private int seen;
    private boolean twice;
    private boolean isVersion2;
    private Message.Id id = Message.Id.FOREIGN;
    private String method;
    private Json.Slice params = Json.Slice.ABSENT;
    private Json.Slice result = Json.Slice.ABSENT;
    private Json.Slice error = Json.Slice.ABSENT;

    private MessageReader(byte[] head) {
        this.head = head;
    }

    /** The message of a head, or what is wrong with it; never throws, whatever the bytes are. */
    public static Message read(byte[] head) {
        // What Jackson would take for another encoding by its first bytes (NUL, a byte order mark) is no JSON here.
        boolean marked = head.length < 2 || head[0] == 0 || head[1] == 0 || head[0] == (byte) 0xef;
        if (marked || !Json.isUtf8(head)) return bad(Code.PARSE_ERROR, Optional.empty(), "head is not JSON in UTF-8");
        MessageReader reader = new MessageReader(head);
        try (JsonParser json = Json.FACTORY.createParser(head)) {
            if (json.nextToken() != JsonToken.START_OBJECT) return reader.noObject(json);
            while (json.nextToken() != JsonToken.END_OBJECT) reader.member(json);
            if (json.nextToken() != null) return bad(Code.PARSE_ERROR, Optional.empty(), "head goes on behind its JSON");
        } catch (IOException notJson) {
            return bad(Code.PARSE_ERROR, Optional.empty(), "head is not JSON, or nests deeper than " + Limits.JSON_DEPTH_MAX);
        }
        return reader.message();
    }

    private Message noObject(JsonParser json) throws IOException {
        if (json.currentToken() == null) return bad(Code.PARSE_ERROR, Optional.empty(), "head is empty");
        // Read to its end: what is not JSON at all is named so.
        json.skipChildren();
        json.finishToken();
        if (json.nextToken() != null) return bad(Code.PARSE_ERROR, Optional.empty(), "head goes on behind its JSON");
        return bad(Code.INVALID_REQUEST, Optional.empty(), "head is no object; batches are not used");
    }

    private void member(JsonParser json) throws IOException {
        int bit = bit(json.currentName());
        json.nextToken();
        twice |= (seen & bit) != 0;
        seen |= bit;
        switch (bit) {
            case JSONRPC -> {
                isVersion2 = json.currentToken() == JsonToken.VALUE_STRING && json.getText().equals("2.0");
                json.skipChildren();
            }
            case ID -> {
                id = id(json);
                json.skipChildren();
            }
            case METHOD -> {
                method = json.currentToken() == JsonToken.VALUE_STRING ? json.getText() : null;
                json.skipChildren();
            }
            case PARAMS -> params = slice(json);
            case RESULT -> result = slice(json);
            case ERROR -> error = slice(json);
            default -> {
                json.skipChildren();
                json.finishToken();
            }
        }
    }

    private Json.Slice slice(JsonParser json) throws IOException {
        int from = (int) json.currentTokenLocation().getByteOffset();
        json.skipChildren();
        json.finishToken();
        return new Json.Slice(head, from, (int) json.currentLocation().getByteOffset());
    }

    private Message message() {
        Optional<Long> usable = id.isNumber() ? Optional.of(id.number()) : Optional.empty();
        boolean hasMethod = (seen & METHOD) != 0;
        boolean hasId = (seen & ID) != 0;
        int answers = seen & (RESULT | ERROR);
        if (twice) return bad(Code.INVALID_REQUEST, usable, "a member stands twice");
        if (!isVersion2) return bad(Code.INVALID_REQUEST, usable, "member jsonrpc is not \"2.0\"");
        if (hasMethod && answers == 0) {
            if (method == null) return bad(Code.INVALID_REQUEST, usable, "method is no text");
            if (!hasId) return new Message.Notification(method, params);
            if (usable.isEmpty()) {
                return bad(Code.INVALID_REQUEST, usable, "id of a request is not an integer from 1 to 2^53 - 1");
            }
            return new Message.Request(id.number(), method, params);
        }
        if (!hasMethod && hasId && (answers == RESULT || answers == ERROR)) {
            return new Message.Response(id, result, error);
        }
        return bad(Code.INVALID_REQUEST, usable, "head is neither request, notification nor response");
    }

    /** An id counts only in the exact text that P-7 asks for: {@code 1.0} and {@code "1"} are not {@code 1}. */
    private static Message.Id id(JsonParser json) throws IOException {
        if (json.currentToken() == JsonToken.VALUE_NULL) return Message.Id.NONE;
        if (json.currentToken() != JsonToken.VALUE_NUMBER_INT) return Message.Id.FOREIGN;
        String text = json.getText();
        if (text.length() > ID_DIGITS_MAX || text.charAt(0) == '-' || text.charAt(0) == '0') return Message.Id.FOREIGN;
        long number = Long.parseLong(text);
        return number <= ID_MAX ? new Message.Id(number) : Message.Id.FOREIGN;
    }

    private static int bit(String name) {
        return switch (name) {
            case "jsonrpc" -> JSONRPC;
            case "id" -> ID;
            case "method" -> METHOD;
            case "params" -> PARAMS;
            case "result" -> RESULT;
            case "error" -> ERROR;
            default -> 0;
        };
    }

    private static Message bad(Code code, Optional<Long> id, String reason) {
        return new Message.Bad(code, id, reason);
    }
}

package dev.hera;

import com.fasterxml.jackson.core.type.TypeReference;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/**
 * One call: what was asked, and the answer that is being made. One thread at a time.
 *
 * <p>Text is what the caller sent after the broker's strict reading: the path is canonical, path parameters are decoded once, values of
 * headers are Latin-1. The answer is sent when the handler and the filters after it are done, or when a stream begins; the first body
 * counts, later ones are dropped and logged as {@code answered_twice}. See spec/protocol.md sections 6 and 7.
 */
public interface Context {
    /** {@return the request id, which is in every log on the way} */
    String requestId();

    /** {@return the HTTP method; {@code HEAD} comes to the endpoints of {@code GET}} */
    String method();

    /** {@return the endpoint as it was declared, {@code GET /0/users/{id}}} */
    String endpoint();

    /** {@return the canonical path, still percent-encoded} */
    String path();

    /** {@return the request target as the caller sent it} */
    String target();

    /**
     * {@return a path parameter, decoded}
     *
     * @param name as in the pattern
     * @throws IllegalArgumentException when the pattern has no such name
     */
    String pathParam(String name);

    /** {@return all path parameters by name, decoded} */
    Map<String, String> pathParams();

    /** {@return the raw query without {@code ?}} */
    Optional<String> query();

    /**
     * {@return the first value of a query parameter, decoded as HTML forms are}
     *
     * @param name decoded
     */
    Optional<String> queryParam(String name);

    /**
     * {@return all values of a query parameter in order, decoded}
     *
     * @param name decoded
     */
    List<String> queryParams(String name);

    /**
     * {@return the first value of a header of the request}
     *
     * @param name in any case
     */
    Optional<String> header(String name);

    /** {@return all headers of the request} */
    Headers headers();

    /** {@return who calls} */
    Caller caller();

    /** {@return trace context, when the caller or the broker began one} */
    Optional<Trace> trace();

    /** {@return when the caller will have gone, by the wall clock; decide by {@link #remaining}} */
    Instant deadline();

    /** {@return time until the deadline, by the monotonic clock; zero when it has passed} */
    Duration remaining();

    /** {@return whether nobody waits for the answer any more: the caller left, the deadline passed, or the broker is lost. Any thread may ask} */
    boolean cancelled();

    /**
     * {@return the whole body, at most {@link Endpoint#bodyBytesMax}; asking again gives it again} Waits until it is here.
     *
     * @throws HeraException {@code body_too_large} with status 413, {@code body_reset} when it was cut short, {@code cancelled}
     * @throws IllegalStateException after {@link #bodyStream}
     */
    byte[] bodyBytes();

    /**
     * {@return the whole body as UTF-8 text}
     *
     * @throws HeraException as {@link #bodyBytes} does
     */
    String body();

    /**
     * {@return the body, read as JSON}
     *
     * @param type what to read it as; the JSON names no types itself
     * @param <T> what to read it as
     * @throws HeraException {@code bad_body} with status 400 for what is not such JSON, and as {@link #bodyBytes} does
     */
    <T> T bodyAs(Class<T> type);

    /**
     * {@return the body, read as JSON}
     *
     * @param type what to read it as
     * @param <T> what to read it as
     * @throws HeraException as {@link #bodyAs(Class)} does
     */
    <T> T bodyAs(TypeReference<T> type);

    /**
     * {@return the body as it comes} At most 256 KiB of it wait in memory; the sender goes on as it is read (P-39). A body that is cut short
     * throws an {@code IOException} and never ends; so does one whose call is cancelled.
     *
     * @throws IllegalStateException after {@link #bodyBytes} and the like
     */
    InputStream bodyStream();

    /**
     * Calls another service, and waits for its answer: {@code ctx.call("GET /0/users/42?full=1")}. The call hands on request id, caller, trace and
     * what is left of the time; an interrupt of this handler cancels it.
     *
     * @param endpoint method, path and query
     * @return the answer, whatever its status
     * @throws HeraException when nobody answered: {@code code}, {@code executed}, {@code requestId} and {@code status} say what a caller would have been told
     */
    default Result call(String endpoint) {
        return call(endpoint, CallOptions.none());
    }

    /**
     * Calls another service with a body or limits, and waits for its answer.
     *
     * @param endpoint method, path and query
     * @param options what goes with it
     * @return the answer, whatever its status
     * @throws HeraException as {@link #call(String)} does
     */
    Result call(String endpoint, CallOptions options);

    /**
     * {@return a value that a filter left for the handler}
     *
     * @param name of the value
     */
    Optional<Object> attribute(String name);

    /**
     * Leaves a value for those who see the call later.
     *
     * @param name of the value
     * @param value any
     * @return this
     */
    Context attribute(String name, Object value);

    /**
     * Sets the status. Default: 200, or 204 where there is no body.
     *
     * @param status 200 to 599, not 425
     * @return this
     */
    Context status(int status);

    /** {@return the status as it is now; 0 while none was set and there is no body} */
    int status();

    /**
     * Sets a header of the answer in place of all of its name.
     *
     * @param name in any case
     * @param value Latin-1, without control bytes
     * @return this
     */
    Context header(String name, String value);

    /**
     * Adds a header of the answer beside others of its name, such as {@code set-cookie}.
     *
     * @param name in any case
     * @param value Latin-1, without control bytes
     * @return this
     */
    Context addHeader(String name, String value);

    /**
     * Answers with JSON.
     *
     * @param value what the configured {@code ObjectMapper} writes
     * @return this
     */
    Context json(Object value);

    /**
     * Answers with text, {@code text/plain} unless a content type was set.
     *
     * @param text any
     * @return this
     */
    Context text(String text);

    /**
     * Answers with bytes, {@code application/octet-stream} unless a content type was set.
     *
     * @param bytes any number; not to be changed from now on
     * @return this
     */
    Context bytes(byte[] bytes);

    /**
     * Answers with what a stream gives, read once the filters are done and at the caller's pace. The stream is closed whatever happens; one that
     * throws cuts the answer short, and the caller sees that.
     *
     * @param body read by the handler's thread
     * @return this
     */
    Context stream(InputStream body);

    /**
     * {@return where to write an answer piece by piece} It is sent when 256 KiB are written, when it is flushed or when the handler is done;
     * writing waits while the caller is slow. When the handler throws, or the answer is not to be finished, the caller sees that it was cut
     * short. Writing throws an {@code IOException} when nobody reads on.
     *
     * @throws IllegalStateException when a body was set already
     */
    OutputStream outputStream();

    /** {@return whether there is a body, or a stream was begun} */
    boolean answered();

    /**
     * Lets the call go on after the handler returned: it is answered when the stage completes. {@link Handler#async} calls this.
     *
     * @param stage a stage that fails is as a handler that throws
     */
    void answerWith(CompletionStage<?> stage);
}

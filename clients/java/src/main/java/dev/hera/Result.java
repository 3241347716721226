package dev.hera;

import com.fasterxml.jackson.core.type.TypeReference;
import java.io.InputStream;

/**
 * What another service answered to a call of ours, with whatever status (P-52). One thread at a time. One whose body was not read to its end is to be
 * closed; those of {@link Context#call} are closed when the handler is done.
 */
public interface Result extends AutoCloseable {
    /** {@return the status, 200 to 599} */
    int status();

    /** {@return the headers} */
    Headers headers();

    /** {@return the worker that answered: service, version and instance} */
    String worker();

    /**
     * {@return the whole body, at most {@link CallOptions#bodyBytesMax}; asking again gives it again}
     *
     * @throws HeraException {@code body_too_large}, or {@code body_reset} when it was cut short
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
     * @param type what to read it as
     * @param <T> what to read it as
     * @throws HeraException {@code bad_body} for what is not such JSON, and as {@link #bodyBytes} does
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
     * {@return the body as it comes; at most 256 KiB of it wait in memory} One that is cut short throws an {@code IOException} and never ends.
     *
     * @throws IllegalStateException after {@link #bodyBytes} and the like
     */
    InputStream bodyStream();

    /** No more of the body is wanted. */
    @Override
    void close();
}

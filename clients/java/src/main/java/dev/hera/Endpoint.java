package dev.hera;

import java.time.Duration;

/** An endpoint that is being described; it is served once it has its handler (P-28). */
public interface Endpoint {
    /**
     * Sets how long a call may take. Default: 15 s.
     *
     * @param timeout 1 ms to 300 s
     * @return this
     * @throws HeraException {@code bad_endpoint} for any other
     */
    Endpoint timeout(Duration timeout);

    /**
     * Sets the largest body of a call; more is answered 413. Default: 1 MiB.
     *
     * @param bytes 0 to 2^40
     * @return this
     * @throws HeraException {@code bad_endpoint} for any other
     */
    Endpoint bodyBytesMax(long bytes);

    /**
     * Sets how many calls of this endpoint there are at once on each broker's connection; the broker keeps to it. Default: no limit of its
     * own.
     *
     * @param calls 1 to 65,535
     * @return this
     * @throws HeraException {@code bad_endpoint} for any other
     */
    Endpoint concurrency(int calls);

    /**
     * Says whether a call may run twice, so that it is sent to another worker when its connection is lost. GET, HEAD, OPTIONS, PUT and DELETE
     * always may.
     *
     * @param idempotent whether running twice does no harm
     * @return this
     */
    Endpoint idempotent(boolean idempotent);

    /**
     * Names the request headers that the handler wants; others are not sent. Default: all.
     *
     * @param names in any case
     * @return this
     */
    Endpoint headers(String... names);

    /**
     * Serves the endpoint with this handler.
     *
     * @param handler answers its calls
     * @return the routing that this endpoint is of
     */
    Routing handle(Handler handler);
}

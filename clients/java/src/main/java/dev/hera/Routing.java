package dev.hera;

/**
 * What a worker serves: endpoints, the filters around them, and what becomes of exceptions. Described before the worker connects, by
 * one thread.
 *
 * <p>Patterns have whole segments: {@code /0/items/{id}} takes one there, {@code /0/files/{*rest}} one or more at the end. The broker chooses the
 * endpoint of a call; GET also gets the calls of HEAD where nothing else takes them.
 */
public interface Routing {
    /**
     * Serves {@code GET} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing get(String pattern, Handler handler) {
        return endpoint("GET " + pattern).handle(handler);
    }

    /**
     * Serves {@code POST} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing post(String pattern, Handler handler) {
        return endpoint("POST " + pattern).handle(handler);
    }

    /**
     * Serves {@code PUT} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing put(String pattern, Handler handler) {
        return endpoint("PUT " + pattern).handle(handler);
    }

    /**
     * Serves {@code PATCH} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing patch(String pattern, Handler handler) {
        return endpoint("PATCH " + pattern).handle(handler);
    }

    /**
     * Serves {@code DELETE} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing delete(String pattern, Handler handler) {
        return endpoint("DELETE " + pattern).handle(handler);
    }

    /**
     * Serves {@code HEAD} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing head(String pattern, Handler handler) {
        return endpoint("HEAD " + pattern).handle(handler);
    }

    /**
     * Serves {@code OPTIONS} at a pattern.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing options(String pattern, Handler handler) {
        return endpoint("OPTIONS " + pattern).handle(handler);
    }

    /**
     * Serves every method at a pattern that has no endpoint of its own there.
     *
     * @param pattern such as {@code /0/items/{id}}
     * @param handler answers the calls
     * @return this
     * @throws HeraException {@code bad_endpoint} for a pattern that no broker takes
     */
    default Routing any(String pattern, Handler handler) {
        return endpoint("* " + pattern).handle(handler);
    }

    /**
     * Begins an endpoint with limits of its own.
     *
     * @param endpoint {@code METHOD /pattern}; method {@code *} is any
     * @return the endpoint, which is served once it has its handler
     * @throws HeraException {@code bad_endpoint} for one that no broker takes
     */
    Endpoint endpoint(String endpoint);

    /**
     * Adds a filter that runs before every handler; filters run in the order in which they were added.
     *
     * @param filter looks at the call
     * @return this
     */
    Routing before(Filter filter);

    /**
     * Adds a filter that runs after every handler, also after one that threw, before the answer is sent. A streamed answer has begun by
     * then, and can be looked at only.
     *
     * @param filter looks at the answer
     * @return this
     */
    Routing after(Filter filter);

    /**
     * Says how exceptions of a type are answered; of several that fit, the nearest type counts. Without one a {@link HeraException} with a
     * status is answered as such, and anything else is {@code handler_failed}, its text in the log alone.
     *
     * @param type what is thrown
     * @param handler answers
     * @param <E> what is thrown
     * @return this
     */
    <E extends Throwable> Routing exception(Class<E> type, ExceptionHandler<? super E> handler);
}

package dev.hera;

import dev.hera.core.Routes;
import dev.hera.core.Worker;
import java.util.List;

/**
 * A worker: what it serves, and its connections to the brokers.
 *
 * <pre>{@code
 * try (Hera hera = Hera.fromEnvironment()) {          // HERA, SECRET
 *     hera.get("/0/hello/{name}", ctx -> ctx.json(Map.of("hello", ctx.pathParam("name"))));
 *     hera.connect();                                 // returns when the first broker accepted
 *     hera.join();
 * }
 * }</pre>
 *
 * <p>Endpoints are described first, by one thread; from {@link #connect} on all methods may be called by any thread. Connections keep the JVM
 * alive until {@link #close}.
 */
public final class Hera implements Routing, AutoCloseable {
    private final Routes routes = new Routes();
    private final Worker worker;

    private Hera(HeraConfig config) {
        worker = new Worker(config.settings(), routes);
    }

    /**
     * {@return a worker whose options come from the environment}
     *
     * @throws HeraException {@code bad_option} or {@code bad_key}
     */
    public static Hera fromEnvironment() {
        return new Hera(HeraConfig.fromEnvironment());
    }

    /**
     * {@return a worker with options of its own}
     *
     * @param config its options
     */
    public static Hera with(HeraConfig config) {
        return new Hera(config);
    }

    @Override
    public Endpoint endpoint(String endpoint) {
        return routes.endpoint(endpoint);
    }

    @Override
    public Routing before(Filter filter) {
        return routes.before(filter);
    }

    @Override
    public Routing after(Filter filter) {
        return routes.after(filter);
    }

    @Override
    public <E extends Throwable> Routing exception(Class<E> type, ExceptionHandler<? super E> handler) {
        return routes.exception(type, handler);
    }

    /**
     * Lets somebody count calls.
     *
     * @param observer is told of each call when it is over
     * @return this
     */
    public Hera observe(CallObserver observer) {
        worker.observe(observer);
        return this;
    }

    /**
     * Finds the brokers, dials every one, and serves. Returns when the first broker accepted the declaration. Brokers that cannot be reached,
     * and ZooKeeper, are dialled again, for ever; so are those that are lost later.
     *
     * @return this
     * @throws HeraException {@code unauthenticated} when a broker refuses the key, {@code declaration_refused} when it refuses an endpoint (see {@link
     *     HeraException#endpoints}), {@code closed} when the worker is closed, or this thread interrupted, meanwhile
     * @throws IllegalStateException when it is connected already
     */
    public Hera connect() {
        worker.connect();
        return this;
    }

    /** Waits until the worker is closed, or this thread is interrupted. */
    public void join() {
        worker.join();
    }

    /**
     * Calls another service outside of any handler, and waits for its answer; see {@link Context#call(String)}.
     *
     * @param endpoint method, path and query
     * @return the answer, whatever its status; to be closed when its body is not read to its end
     * @throws HeraException when nobody answered
     */
    public Result call(String endpoint) {
        return call(endpoint, CallOptions.none());
    }

    /**
     * Calls another service with a body or limits, and waits for its answer.
     *
     * @param endpoint method, path and query
     * @param options what goes with it
     * @return the answer, whatever its status; to be closed when its body is not read to its end
     * @throws HeraException when nobody answered
     */
    public Result call(String endpoint, CallOptions options) {
        return worker.call(endpoint, options);
    }

    /** {@return ids of the brokers that send calls right now} */
    public List<String> brokers() {
        return worker.brokers();
    }

    /** {@return calls in flight, over all brokers} */
    public int inFlight() {
        return worker.inFlight();
    }

    /**
     * Drains: takes no new calls, finishes what runs, and closes (P-43). Calls that outlast {@link HeraConfig.Builder#drainTimeout} are cut. A second
     * call waits for the same drain. An interrupt ends the waiting, and cuts what runs.
     */
    @Override
    public void close() {
        worker.close();
    }
}

package dev.hera.core;

import dev.hera.CallObserver;
import dev.hera.CallOptions;
import dev.hera.HeraException;
import dev.hera.Result;
import dev.hera.discovery.Discovery;
import dev.hera.protocol.Handshake;
import dev.hera.protocol.Json;
import dev.hera.protocol.Limits;
import dev.hera.protocol.WorkerKey;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Builds the parts of a worker and joins them: what all its connections share. */
public final class Worker {
    private static final String LIBRARY = "hera-client-java 0.1.0";
    private static final int IN_FLIGHT_VIRTUAL = Limits.IN_FLIGHT_MAX;

    private final Logger log = LoggerFactory.getLogger("dev.hera");
    private final Settings settings;
    private final Routes routes;
    private final RemoteCaller remote;
    private final FilterChain chain;
    private final Handlers handlers;
    private final Monitor monitor = new Monitor(System.nanoTime());
    private final Links links = new Links(this);
    private final String instance = instance();
    private final AtomicInteger inFlight = new AtomicInteger();
    private final CompletableFuture<Void> first = new CompletableFuture<>();
    private final CountDownLatch closed = new CountDownLatch(1);
    private volatile CallObserver observer = (endpoint, outcome, took) -> {};
    private Optional<SSLContext> tls = Optional.empty();
    private Optional<Discovery> discovery = Optional.empty();
    private Optional<Thread> hook = Optional.empty();
    private boolean connected;
    private boolean closing;

    public Worker(Settings settings, Routes routes) {
        this.settings = settings;
        this.routes = routes;
        this.remote = new RemoteCaller(links::sessions, settings.mapper());
        this.chain = new FilterChain(routes, settings.mapper(), remote, log);
        this.handlers = Handlers.of(settings.virtualThreads(), settings.threads());
    }

    public void observe(CallObserver observer) {
        this.observer = Objects.requireNonNull(observer, "observer");
    }

    // ---- the life of a worker

    /** See {@link dev.hera.Hera#connect}. */
    public void connect() {
        begin();
        try {
            first.get();
        } catch (ExecutionException cause) {
            close();
            throw (HeraException) cause.getCause();
        } catch (InterruptedException cause) {
            close();
            Thread.currentThread().interrupt();
            throw new HeraException("closed", "interrupted before a broker accepted the declaration", cause);
        }
    }

    private synchronized void begin() {
        if (closing) throw new HeraException("closed", "worker was closed");
        if (connected) throw new IllegalStateException("worker is connected already");
        tls = Optional.of(Tls.context(settings.caFile()));
        Discovery finder = Discovery.of(settings.source(), settings.stateFolder(), settings.caFile(), log);
        connected = true;
        routes.freeze();
        if (settings.signals()) {
            Thread drain = new Thread(this::close, "hera-drain");
            hook = Optional.of(drain);
            Runtime.getRuntime().addShutdownHook(drain);
        }
        discovery = Optional.of(finder);
        finder.start(links::follow);
    }

    /** Waits until it is closed, or this thread is interrupted. */
    public void join() {
        try {
            closed.await();
        } catch (InterruptedException enough) {
            Thread.currentThread().interrupt();
        }
    }

    /** See {@link dev.hera.Hera#close}. */
    public void close() {
        boolean ours;
        synchronized (this) {
            ours = !closing;
            closing = true;
        }
        if (!ours) {
            join();
            return;
        }
        first.completeExceptionally(new HeraException("closed", "worker was closed before a broker accepted the declaration"));
        try {
            drain();
        } finally {
            forgetHook();
            closed.countDown();
        }
    }

    private void drain() {
        long deadline = System.nanoTime() + settings.drainTimeout().toNanos();
        discovery.ifPresent(Discovery::close);
        links.drain();
        boolean interrupted = false;
        try {
            if (links.await(deadline)) return;
            log.warn("{} calls outlasted the drain of {} and were cut", inFlight.get(), settings.drainTimeout());
        } catch (InterruptedException enough) {
            interrupted = true;
        }
        links.stop();
        if (interrupted) Thread.currentThread().interrupt();
    }

    /** A closed worker must not be kept in memory by its hook; in a shutdown hooks cannot be taken back, and need not be. */
    private synchronized void forgetHook() {
        try {
            hook.ifPresent(Runtime.getRuntime()::removeShutdownHook);
        } catch (IllegalStateException shutdown) {
            // The hook is what runs this, or waits for it.
        }
    }

    /** See {@link dev.hera.Hera#call(String, CallOptions)}. */
    public Result call(String endpoint, CallOptions options) {
        return remote.call(endpoint, options, Optional.empty());
    }

    public List<String> brokers() {
        return links.sessions().stream().filter(Session::isLive).map(Session::broker).toList();
    }

    public int inFlight() {
        return inFlight.get();
    }

    // ---- what sessions ask

    WorkerKey key() {
        return settings.key();
    }

    Logger log() {
        return log;
    }

    synchronized SSLContext tls() {
        return tls.orElseThrow();
    }

    int inFlightMax() {
        return settings.inFlight().or(handlers::most).orElse(IN_FLIGHT_VIRTUAL);
    }

    Handshake.Hello hello() {
        return new Handshake.Hello(settings.key().id(), instance, settings.version(), LIBRARY, inFlightMax());
    }

    Json.Members declaration() {
        return routes.declaration();
    }

    Optional<DeclaredEndpoint> find(String endpoint) {
        return routes.find(endpoint);
    }

    Json.Members load() {
        return json -> monitor.write(json, System.nanoTime(), inFlight.get());
    }

    void noteDelay(long nanos) {
        monitor.delay(nanos);
    }

    /** Gives false when as many handlers run as may. */
    boolean execute(Call call) {
        return handlers.execute(call);
    }

    /** Runs the filters and the handler of a call, on this thread. */
    void serve(Call call) {
        chain.run(call);
    }

    /** What depends on the stage runs where handlers do; where there is no room, on a thread of its own. */
    void cancelStage(CompletionStage<?> stage) {
        Runnable cancel = () -> stage.toCompletableFuture().cancel(true);
        if (!handlers.execute(cancel)) new Thread(cancel, "hera-cancel").start();
    }

    void counted(int difference) {
        inFlight.addAndGet(difference);
    }

    void over(Call call) {
        inFlight.decrementAndGet();
        try {
            observer.over(call.endpoint().text(), call.outcome(), Duration.ofNanos(System.nanoTime() - call.arrived()));
        } catch (RuntimeException cause) {
            log.error("observer of calls failed", cause);
        }
    }

    // ---- what sessions tell

    /** The broker accepted the declaration. */
    void live(Session session) {
        log.info("broker {} accepted {} endpoints", session.broker(), routes.size());
        links.live(session);
        first.complete(null);
    }

    /** Before the first success a refusal ends the attempt; later it is only logged, since others may serve on. */
    void refused(HeraException refusal) {
        first.completeExceptionally(refusal);
    }

    /** Unique per process, and readable: host, process, and random digits (P-14). */
    private static String instance() {
        String host = "host";
        try {
            host = InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException nameless) {
            // The process id and the digits are enough.
        }
        String plain = host.replaceAll("[^A-Za-z0-9._-]", "-");
        String digits = String.format("%08x", new SecureRandom().nextInt());
        return plain.substring(0, Math.min(plain.length(), 36)) + "-" + ProcessHandle.current().pid() + "-" + digits;
    }
}

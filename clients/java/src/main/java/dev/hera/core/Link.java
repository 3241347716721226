package dev.hera.core;

import dev.hera.HeraException;
import dev.hera.discovery.Address;
import java.io.IOException;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;

/** Keeps one session with one broker alive, on a thread of its own: dials, serves, waits, dials again. */
final class Link {
    /** After a refusal there is no hurry: a person has to act first. */
    private static final long REFUSED_MS = 30_000;
    /** A connection that held so long proves that the broker is well. */
    private static final long HELD_NANOS = 10_000_000_000L;
    /** What a broker says about us, not about itself. */
    private static final Set<String> REFUSALS = Set.of("unauthenticated", "declaration_refused", "unsupported_version");

    private enum State {
        DIALLING,
        /** The session is kept until it ends, and none is dialled after it. */
        RETIRED,
        OVER
    }

    private final Worker worker;
    private final Address address;
    private final Consumer<Link> over;
    private final Random random = new Random();
    private final Backoff backoff = new Backoff(random::nextDouble);
    private State state = State.DIALLING;
    private boolean draining;
    private Connection connection;
    private String lastProblem = "";

    /** @param over runs once, on the link's thread, when nothing is left of it */
    Link(Worker worker, Address address, Consumer<Link> over) {
        this.worker = worker;
        this.address = address;
        this.over = over;
    }

    void start() {
        // Not a daemon: a worker that serves keeps its process alive.
        new Thread(this::run, "hera-link-" + address).start();
    }

    /** The session that there is, in whatever state. */
    synchronized Optional<Session> session() {
        return Optional.ofNullable(connection).flatMap(Connection::session);
    }

    /** Dials no more; a session that is live is kept until it ends. */
    synchronized void retire() {
        if (state != State.DIALLING) return;
        state = State.RETIRED;
        boolean live = session().map(Session::isLive).orElse(false);
        if (connection != null && !live) connection.close();
        notifyAll();
    }

    /** Takes {@link #retire} back. Gives false when the link is over already. */
    synchronized boolean resume() {
        if (state == State.RETIRED && !draining) state = State.DIALLING;
        return state == State.DIALLING;
    }

    /** Drains the session, if there is one, and dials no more. */
    synchronized void drain() {
        draining = true;
        if (state == State.DIALLING) state = State.RETIRED;
        if (connection != null) {
            if (connection.session().isPresent()) connection.drain();
            else connection.close();
        }
        notifyAll();
    }

    /** Ends everything now. */
    synchronized void stop() {
        if (state == State.DIALLING) state = State.RETIRED;
        if (connection != null) connection.close();
        notifyAll();
    }

    private void run() {
        while (goesOn()) {
            long from = System.nanoTime();
            HeraException ending = attempt();
            if (System.nanoTime() - from > HELD_NANOS) backoff.reset();
            after(ending);
        }
        over.accept(this);
    }

    private synchronized boolean goesOn() {
        if (state != State.DIALLING) state = State.OVER;
        return state == State.DIALLING;
    }

    /** One connection, to its end. */
    private HeraException attempt() {
        try (Connection next = new Connection(worker)) {
            synchronized (this) {
                if (state == State.DIALLING) connection = next;
                else return new HeraException("closed", "worker was stopped");
            }
            return next.run(address);
        } catch (IOException | RuntimeException cause) {
            return new HeraException("internal_error", "no connection can be made: " + cause, cause);
        }
    }

    private void after(HeraException ending) {
        boolean proven = session().map(Session::isProven).orElse(false);
        synchronized (this) {
            connection = null;
            if (state != State.DIALLING) return;
        }
        report(ending);
        boolean refused = REFUSALS.contains(ending.code());
        if (proven && refused) worker.refused(ending);
        pause(refused ? Math.round(REFUSED_MS * (0.9 + 0.2 * random.nextDouble())) : backoff.nextMs());
    }

    private synchronized void pause(long ms) {
        long until = System.nanoTime() + ms * 1_000_000;
        long left = ms;
        try {
            while (state == State.DIALLING && left > 0) {
                wait(left);
                left = (until - System.nanoTime()) / 1_000_000;
            }
        } catch (InterruptedException nobodyMayInterruptThis) {
            Thread.currentThread().interrupt();
            state = State.RETIRED;
        }
    }

    /** Says what is wrong once, not at every attempt. */
    private void report(HeraException ending) {
        if (ending.getMessage().equals(lastProblem)) return;
        lastProblem = ending.getMessage();
        StringBuilder refused = new StringBuilder();
        ending.endpoints().forEach(each ->
                refused.append("\n  ").append(each.endpoint()).append(": ").append(each.code()).append(", ").append(each.message()));
        worker.log().warn("broker {}: {}{}", address, ending.getMessage(), refused);
    }
}

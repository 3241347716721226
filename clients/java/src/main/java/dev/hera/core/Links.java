package dev.hera.core;

import dev.hera.discovery.Address;
import dev.hera.discovery.Broker;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The links to all brokers: they follow the list.
 *
 * <pre>
 *   listed -- gone from the list --> retired: kept while its session lives, dialled no more --> over
 * </pre>
 */
final class Links {
    private final Worker worker;
    private final List<Entry> entries = new ArrayList<>();
    private boolean closed;

    private static final class Entry {
        final Address address;
        final Link link;
        String id;
        boolean retired;

        Entry(String id, Address address, Link link) {
            this.id = id;
            this.address = address;
            this.link = link;
        }

        /** Whether this link is one to the broker that is listed there: one that was started again can have another id, and then the link, unless it has
         *  reached that one already, is to one that is gone. */
        boolean serves(Broker broker) {
            if (id.equals(broker.id())) return true;
            Optional<Session> session = link.session();
            return session.isPresent() && session.get().isLive() && session.get().broker().equals(broker.id());
        }
    }

    Links(Worker worker) {
        this.worker = worker;
    }

    /** Sessions in any state. */
    synchronized List<Session> sessions() {
        return entries.stream().flatMap(entry -> entry.link.session().stream()).toList();
    }

    /** Dials what is new, keeps what lives, stops dialling what is gone. Of brokers with one address the first counts. */
    synchronized void follow(List<Broker> brokers) {
        if (closed) return;
        Map<Address, Broker> wanted = new LinkedHashMap<>();
        for (Broker broker : brokers) wanted.putIfAbsent(broker.address(), broker);
        for (Entry entry : List.copyOf(entries)) {
            Broker broker = wanted.get(entry.address);
            if (broker != null && entry.serves(broker) && keep(entry, broker)) wanted.remove(entry.address);
            else retire(entry);
        }
        wanted.values().forEach(this::add);
    }

    /** A session is live: one with the same broker at the address that it had before has served its time. */
    synchronized void live(Session session) {
        Optional<Entry> own = entries.stream().filter(entry -> entry.link.session().filter(session::equals).isPresent()).findFirst();
        own.ifPresent(entry -> entries.stream()
                .filter(other -> other != entry && other.retired && other.id.equals(entry.id))
                .forEach(other -> other.link.drain()));
    }

    /** Drains every session; what the list says from now on is not heard. */
    synchronized void drain() {
        closed = true;
        entries.forEach(entry -> entry.link.drain());
    }

    /** Ends everything now. */
    synchronized void stop() {
        closed = true;
        entries.forEach(entry -> entry.link.stop());
    }

    /** Waits until nothing is left, or the time has passed. Gives whether nothing is left. */
    synchronized boolean await(long deadline) throws InterruptedException {
        while (!entries.isEmpty()) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0) return false;
            wait(left);
        }
        return true;
    }

    private boolean keep(Entry entry, Broker broker) {
        if (entry.retired && !entry.link.resume()) return false;
        entry.id = broker.id();
        entry.retired = false;
        return true;
    }

    private void retire(Entry entry) {
        if (entry.retired) return;
        entry.retired = true;
        entry.link.retire();
    }

    private void add(Broker broker) {
        Link link = new Link(worker, broker.address(), this::over);
        entries.add(new Entry(broker.id(), broker.address(), link));
        link.start();
    }

    private synchronized void over(Link link) {
        entries.removeIf(entry -> entry.link == link);
        notifyAll();
    }
}

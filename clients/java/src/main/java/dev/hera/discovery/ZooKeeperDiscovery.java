package dev.hera.discovery;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.ClientCnxnSocketNetty;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.client.ZKClientConfig;
import org.slf4j.Logger;

/**
 * Follows {@code /brokers} of one ZooKeeper by Curator, on a thread of its own: what Curator tells only asks for the next listing.
 */
final class ZooKeeperDiscovery implements Discovery {
    private static final int SESSION_MS = 10_000;
    private static final int CONNECT_MS = 3_333;
    /** How long ZooKeeper may take at the start before the saved list is dialled. */
    private static final long SAVED_AFTER_MS = 1_000;
    /** How often the list is read with no event. */
    private static final long LIST_EVERY_MS = 60_000;
    /** How soon a list is read again after one that was outdated, or could not be read. */
    private static final long LIST_AGAIN_MS = 100;
    private static final long LIST_AGAIN_MS_MAX = 10_000;
    /** How many skipped nodes are named in the log. */
    private static final int NAMED_MAX = 5;

    private final SavedList saved;
    private final Logger log;
    private final CuratorFramework zookeeper;
    private final BrokerReader reader;
    private final Random random = new Random();
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(run -> {
        Thread made = new Thread(run, "hera-discovery");
        made.setDaemon(true);
        return made;
    });
    private Consumer<List<Broker>> follow = brokers -> {};
    private Optional<ScheduledFuture<?>> next = Optional.empty();
    private boolean listed;
    private boolean away;
    private int failures;
    private long session;
    private String lastProblem = "";

    ZooKeeperDiscovery(Source.Ensemble ensemble, SavedList saved, Optional<Path> caFile, Logger log) {
        this.saved = saved;
        this.log = log;
        zookeeper = CuratorFrameworkFactory.builder()
                .connectString(ensemble.servers().stream().map(Address::toString).collect(Collectors.joining(",")))
                .sessionTimeoutMs(SESSION_MS)
                .connectionTimeoutMs(CONNECT_MS)
                .retryPolicy(new RetryOneTime((int) LIST_AGAIN_MS))
                .zkClientConfig(config(ensemble.tls(), caFile))
                // Whoever only reads makes no parents and sets no rights.
                .dontUseContainerParents()
                .build();
        reader = new BrokerReader(zookeeper, ensemble.chroot());
    }

    private static ZKClientConfig config(boolean tls, Optional<Path> caFile) {
        ZKClientConfig config = new ZKClientConfig();
        // Hera's list is readable by everybody: no ticket of Kerberos is looked for.
        config.setProperty(ZKClientConfig.ENABLE_CLIENT_SASL_KEY, "false");
        if (tls) {
            config.setProperty(ZKClientConfig.SECURE_CLIENT, "true");
            config.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, ClientCnxnSocketNetty.class.getName());
            // The client alone would offer one version, which servers before 3.9 do not speak.
            config.setProperty("zookeeper.ssl.enabledProtocols", "TLSv1.3,TLSv1.2");
            caFile.ifPresent(file -> {
                config.setProperty("zookeeper.ssl.trustStore.location", file.toString());
                config.setProperty("zookeeper.ssl.trustStore.type", "PEM");
            });
        }
        return config;
    }

    @Override
    public void start(Consumer<List<Broker>> follow) {
        this.follow = follow;
        zookeeper.getConnectionStateListenable().addListener((client, state) -> soon(() -> changed(state)), thread);
        zookeeper.start();
        thread.schedule(this::useSaved, SAVED_AFTER_MS, TimeUnit.MILLISECONDS);
        soon(this::list);
    }

    @Override
    public void close() {
        thread.shutdownNow();
        zookeeper.close();
    }

    private void soon(Runnable task) {
        try {
            thread.execute(task);
        } catch (RejectedExecutionException closed) {
            // Nothing is told any more.
        }
    }

    private void changed(ConnectionState state) {
        if (state.isConnected()) list();
        else lost(state.name().toLowerCase(Locale.ROOT));
    }

    private void event(WatchedEvent event) {
        // Events of the connection itself come to its listener.
        if (event.getType() != Watcher.Event.EventType.None) soon(this::list);
    }

    private void useSaved() {
        if (listed) return;
        List<BrokerNode> brokers = saved.read();
        if (brokers.isEmpty()) return;
        log.warn("zookeeper gave no brokers yet; the {} of the saved list are dialled meanwhile", brokers.size());
        tell(brokers);
    }

    private void list() {
        next.ifPresent(each -> each.cancel(false));
        long wait;
        try {
            forgetOldSession();
            take(reader.list(this::event));
            failures = 0;
            // Workers that listed in step at the last event should not do so each minute.
            wait = Math.round(LIST_EVERY_MS * (0.9 + 0.1 * random.nextDouble()));
        } catch (KeeperException.ConnectionLossException | KeeperException.SessionExpiredException cause) {
            lost(cause.getMessage());
            wait = again();
        } catch (InterruptedException closed) {
            Thread.currentThread().interrupt();
            return;
        } catch (Exception cause) {
            report("the list cannot be read: " + cause.getMessage());
            wait = again();
        }
        try {
            next = Optional.of(thread.schedule(this::list, wait, TimeUnit.MILLISECONDS));
        } catch (RejectedExecutionException closed) {
            // Nothing is told any more.
        }
    }

    /** Full jitter, as everywhere. */
    private long again() {
        long bound = Math.min(LIST_AGAIN_MS_MAX, LIST_AGAIN_MS << Math.min(failures++, 10));
        return Math.round(random.nextDouble() * bound);
    }

    private void forgetOldSession() throws Exception {
        long now = zookeeper.getZookeeperClient().getZooKeeper().getSessionId();
        if (now != session) reader.forget();
        session = now;
    }

    private void take(Optional<BrokerReader.Listing> listing) {
        if (away) {
            away = false;
            log.warn("zookeeper answers");
        }
        report(problem(listing));
        List<BrokerNode> brokers = listing.map(BrokerReader.Listing::brokers).orElse(List.of());
        if (brokers.isEmpty()) return;
        listed = true;
        saved.keep(brokers);
        tell(brokers);
    }

    private void tell(List<BrokerNode> brokers) {
        try {
            follow.accept(brokers.stream().map(BrokerNode::broker).toList());
        } catch (RuntimeException defect) {
            log.error("list of brokers cannot be followed", defect);
        }
    }

    private void lost(String why) {
        if (away) return;
        away = true;
        log.warn("zookeeper is away ({}); until it answers, the brokers known now are served", why);
    }

    /** Says what is wrong once, not at every listing. */
    private void report(String problem) {
        if (problem.equals(lastProblem)) return;
        lastProblem = problem;
        if (!problem.isEmpty()) log.warn("zookeeper: {}", problem);
    }

    private static String problem(Optional<BrokerReader.Listing> listing) {
        List<String> problems = new ArrayList<>();
        if (listing.isEmpty() || listing.get().brokers().isEmpty()) problems.add("no broker is listed; the last list holds");
        if (listing.isPresent() && !listing.get().skipped().isEmpty()) {
            Map<String, BrokerNode.Skip> skipped = listing.get().skipped();
            String named = skipped.entrySet().stream().limit(NAMED_MAX).map(ZooKeeperDiscovery::named).collect(Collectors.joining(", "));
            problems.add(skipped.size() + " nodes were skipped: " + named + (skipped.size() > NAMED_MAX ? ", …" : ""));
        }
        if (listing.isPresent() && listing.get().left() > 0) {
            problems.add(listing.get().left() + " nodes were left, over the " + BrokerNode.BROKERS_MAX + " brokers that are dialled");
        }
        return String.join("; ", problems);
    }

    private static String named(Map.Entry<String, BrokerNode.Skip> skipped) {
        String name = skipped.getKey();
        return name.substring(0, Math.min(name.length(), 40)) + " (" + skipped.getValue().name().toLowerCase(Locale.ROOT) + ")";
    }
}

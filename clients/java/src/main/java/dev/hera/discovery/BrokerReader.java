package dev.hera.discovery;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.data.Stat;

/** Reads the list of brokers out of ZooKeeper. One thread at a time. */
final class BrokerReader {
    /** How many children one listing looks at, where most of them are no brokers. */
    private static final int CHILDREN_MAX = 16_384;

    private final CuratorFramework zookeeper;
    private final String path;
    /** What children held when the transaction of that number had written them, so that each listing fetches only what was written since. */
    private Map<String, Known> known = new HashMap<>();

    /**
     * A listing.
     *
     * @param brokers in the order of ids, at most 64
     * @param skipped children that were left out, and why
     * @param left children that were not looked at, since there are enough before them
     */
    record Listing(List<BrokerNode> brokers, Map<String, BrokerNode.Skip> skipped, int left) {}

    private record Known(long transaction, Optional<BrokerNode> node, Optional<BrokerNode.Skip> skip) {}

    BrokerReader(CuratorFramework zookeeper, String chroot) {
        this.zookeeper = zookeeper;
        this.path = chroot + "/brokers";
    }

    /** To be called with each new session: servers may have been wiped, and count transactions from the start. */
    void forget() {
        known.clear();
    }

    /** Lists the brokers, and leaves a watch on the list; nothing when there is none yet, watched in its turn. */
    Optional<Listing> list(Watcher watcher) throws Exception {
        Optional<List<String>> names = names(watcher);
        if (names.isEmpty()) return Optional.empty();
        Map<String, BrokerNode.Skip> skipped = new LinkedHashMap<>();
        List<String> ids = new ArrayList<>();
        for (String name : names.get()) {
            if (BrokerNode.isId(name)) ids.add(name);
            else skipped.put(name, BrokerNode.Skip.BAD_NAME);
        }
        ids.sort(Comparator.naturalOrder());

        List<BrokerNode> brokers = new ArrayList<>();
        Map<String, Known> read = new HashMap<>();
        int at = 0;
        while (at < Math.min(ids.size(), CHILDREN_MAX) && brokers.size() < BrokerNode.BROKERS_MAX) {
            String id = ids.get(at++);
            Optional<Known> child = child(id);
            child.filter(each -> each.transaction() >= 0).ifPresent(each -> read.put(id, each));
            child.flatMap(Known::node).ifPresent(brokers::add);
            child.flatMap(Known::skip).ifPresent(why -> skipped.put(id, why));
        }
        known = read;
        return Optional.of(new Listing(brokers, skipped, ids.size() - at));
    }

    private Optional<List<String>> names(Watcher watcher) throws Exception {
        try {
            return Optional.of(zookeeper.getChildren().usingWatcher(watcher).forPath(path));
        } catch (KeeperException.NoNodeException none) {
            if (zookeeper.checkExists().usingWatcher(watcher).forPath(path) == null) return Optional.empty();
            // It was made in between.
            return Optional.of(zookeeper.getChildren().usingWatcher(watcher).forPath(path));
        }
    }

    /** Nothing: gone since the list was read. */
    private Optional<Known> child(String id) throws Exception {
        try {
            // The stat first: a node that is too large, or is known, is not fetched.
            Stat stat = zookeeper.checkExists().forPath(path + "/" + id);
            if (stat == null) return Optional.empty();
            Known before = known.get(id);
            if (before != null && before.transaction() == stat.getMzxid()) return Optional.of(before);
            if (stat.getDataLength() > BrokerNode.NODE_BYTES_MAX) return skip(stat.getMzxid(), BrokerNode.Skip.TOO_LARGE);
            byte[] data = zookeeper.getData().storingStatIn(stat).forPath(path + "/" + id);
            return Optional.of(new Known(stat.getMzxid(), Optional.of(BrokerNode.read(id, data)), Optional.empty()));
        } catch (BrokerNode.SkippedException skipped) {
            // Read anew each time: what was skipped may have been written since its stat.
            return skip(-1, skipped.why());
        } catch (KeeperException.NoNodeException gone) {
            return Optional.empty();
        } catch (KeeperException.NoAuthException unreadable) {
            return skip(-1, BrokerNode.Skip.UNREADABLE);
        }
    }

    private static Optional<Known> skip(long transaction, BrokerNode.Skip why) {
        return Optional.of(new Known(transaction, Optional.empty(), Optional.of(why)));
    }
}

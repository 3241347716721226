package dev.hera.discovery;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.slf4j.Logger;

/** Where the addresses of brokers come from: a fixed list, or ZooKeeper with a saved list behind it. */
public interface Discovery extends AutoCloseable {
    /** Begins to tell what the list is, from now on; never an empty one from ZooKeeper. */
    void start(Consumer<List<Broker>> follow);

    /** Nothing is told any more. */
    @Override
    void close();

    static Discovery of(Source source, Optional<Path> stateFolder, Optional<Path> caFile, Logger log) {
        if (source instanceof Source.Fixed fixed) return new FixedDiscovery(fixed.brokers());
        Source.Ensemble ensemble = (Source.Ensemble) source;
        CuratorAccess.open();
        return new ZooKeeperDiscovery(ensemble, new SavedList(stateFolder, ensemble.text(), log), caFile, log);
    }

    /** Tells its list once. */
    record FixedDiscovery(List<Address> addresses) implements Discovery {
        @Override
        public void start(Consumer<List<Broker>> follow) {
            follow.accept(addresses.stream().map(each -> new Broker(each.toString(), each)).toList());
        }

        @Override
        public void close() {}
    }
}

package dev.hera.discovery;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.Folders;
import dev.hera.testkit.TestBroker;
import dev.hera.testkit.TestZooKeeper;
import dev.hera.testkit.Until;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.CreateMode;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** The list of brokers, followed through a real ZooKeeper. */
class ZooKeeperTest {
    private static final Path TLS = TestBroker.root().resolve("clients/node/test/tls");
    private static TestZooKeeper zookeeper;
    private static CuratorFramework writer;

    @BeforeAll
    static void start() throws IOException {
        zookeeper = new TestZooKeeper(Files.readString(TLS.resolve("key.pem")) + Files.readString(TLS.resolve("cert.pem")));
        writer = CuratorFrameworkFactory.newClient(zookeeper.url("").substring("zk://".length()), new RetryOneTime(100));
        writer.start();
    }

    @AfterAll
    static void stop() {
        writer.close();
        zookeeper.close();
    }

    private static byte[] node(String id, int port) {
        return ("{\"name\":\"brokers\",\"id\":\"" + id + "\",\"address\":\"127.0.0.1\",\"port\":" + port + ",\"protocols\":[\"hera/1+tcp\"]}")
                .getBytes(StandardCharsets.UTF_8);
    }

    private static void create(String path, byte[] data) throws Exception {
        writer.create().creatingParentsIfNeeded().withMode(CreateMode.PERSISTENT).forPath(path, data);
    }

    /** What a discovery tells. */
    private static final class Told implements AutoCloseable {
        final List<List<Broker>> lists = new CopyOnWriteArrayList<>();
        final Discovery discovery;

        Told(String url, Path folder, Optional<Path> ca) {
            discovery = Discovery.of(Source.parse(url), Optional.of(folder), ca, LoggerFactory.getLogger("test"));
            discovery.start(lists::add);
        }

        String last() {
            return lists.isEmpty() ? "nothing" : lists.get(lists.size() - 1).stream().map(each -> each.id() + "@" + each.address()).toList().toString();
        }

        void until(String list) {
            Until.until("the list is " + list + ", it is " + last(), () -> last().equals(list));
        }

        @Override
        public void close() {
            discovery.close();
        }
    }

    @Test
    void list_is_followed_and_an_empty_one_changes_nothing() throws Exception {
        Path folder = Folders.make("hera-state-").resolve("deeper");
        try (Told told = new Told(zookeeper.url("/follow"), folder, Optional.empty())) {
            create("/follow/brokers/b-2", node("b-2", 2));
            told.until("[b-2@127.0.0.1:2]");
            create("/follow/brokers/b-1", node("b-1", 1));
            create("/follow/brokers/b-3", "no json".getBytes(StandardCharsets.UTF_8));
            create("/follow/brokers/Not-One", node("Not-One", 4));
            create("/follow/brokers/b-4", new byte[5_000]);
            told.until("[b-1@127.0.0.1:1, b-2@127.0.0.1:2]");
            writer.delete().forPath("/follow/brokers/b-2");
            told.until("[b-1@127.0.0.1:1]");
            int before = told.lists.size();
            writer.delete().forPath("/follow/brokers/b-1");
            create("/follow/brokers/b-5", node("b-5", 5));
            told.until("[b-5@127.0.0.1:5]");
            assertTrue(told.lists.subList(before, told.lists.size()).stream().noneMatch(List::isEmpty));

            Path saved = folder.resolve("brokers-"
                    + java.util.HexFormat.of()
                            .formatHex(dev.hera.protocol.Proof.sha256(zookeeper.url("/follow").getBytes(StandardCharsets.UTF_8)))
                            .substring(0, 16)
                    + ".json");
            assertEquals(
                    "{\"format\":1,\"brokers\":[{\"id\":\"b-5\",\"address\":\"127.0.0.1\",\"port\":5,\"protocols\":[\"hera/1+tcp\"]}]}\n",
                    Files.readString(saved));
            assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(saved)));
        }
    }

    @Test
    void saved_list_is_dialled_while_zookeeper_is_away_and_the_true_one_when_it_is_back() throws Exception {
        Path folder = Folders.make("hera-state-");
        try (TestZooKeeper own = new TestZooKeeper("");
                CuratorFramework ownWriter = CuratorFrameworkFactory.newClient(own.url("").substring("zk://".length()), new RetryOneTime(100))) {
            ownWriter.start();
            ownWriter.create().creatingParentsIfNeeded().forPath("/brokers/b-1", node("b-1", 1));
            try (Told told = new Told(own.url(""), folder, Optional.empty())) {
                told.until("[b-1@127.0.0.1:1]");
            }
            own.down();

            try (Told told = new Told(own.url(""), folder, Optional.empty())) {
                told.until("[b-1@127.0.0.1:1]");
                own.up();
                ownWriter.create().forPath("/brokers/b-2", node("b-2", 2));
                told.until("[b-1@127.0.0.1:1, b-2@127.0.0.1:2]");
                own.down();
                own.up();
                ownWriter.delete().forPath("/brokers/b-1");
                told.until("[b-2@127.0.0.1:2]");
            }
        }
    }

    @Test
    void folder_that_cannot_be_written_is_no_reason_to_stop() throws Exception {
        create("/unwritable/brokers/b-1", node("b-1", 1));
        try (Told told = new Told(zookeeper.url("/unwritable"), Path.of("/proc/hera"), Optional.empty())) {
            told.until("[b-1@127.0.0.1:1]");
        }
    }

    @Test
    void zookeeper_speaks_tls_to_those_who_trust_it() throws Exception {
        create("/secure/brokers/b-1", node("b-1", 1));
        Path folder = Folders.make("hera-state-");
        try (Told told = new Told(zookeeper.tlsUrl("/secure"), folder, Optional.of(TLS.resolve("cert.pem")));
                Told untrusting = new Told(zookeeper.tlsUrl("/secure"), Folders.make("hera-state-"), Optional.empty())) {
            told.until("[b-1@127.0.0.1:1]");
            assertFalse(untrusting.last().contains("b-1"));
        }
    }
}

package dev.hera.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Debian's ZooKeeper on a free port, with data of its own; gone when it is closed. */
public final class TestZooKeeper implements AutoCloseable {
    /** The package's jar names all that it needs but the one with Netty's codecs, without which its TLS takes nobody. */
    private static final String JARS = "/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar";

    private final Path folder = Folders.make("hera-zookeeper-");
    private final int port = freePort();
    private final int tlsPort = freePort();
    private Process process;

    /** @param store PEM of key and certificate, for TLS on a port of its own; empty for none */
    public TestZooKeeper(String store) {
        List<String> settings = new ArrayList<>(List.of(
                "tickTime=500",
                "dataDir=" + folder.resolve("data"),
                "clientPort=" + port,
                "clientPortAddress=127.0.0.1",
                "maxClientCnxns=0",
                "admin.enableServer=false",
                "4lw.commands.whitelist=*"));
        try {
            if (!store.isEmpty()) {
                Files.writeString(folder.resolve("store.pem"), store);
                settings.addAll(List.of(
                        "secureClientPort=" + tlsPort,
                        "secureClientPortAddress=127.0.0.1",
                        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
                        "ssl.keyStore.location=" + folder.resolve("store.pem"),
                        "ssl.clientAuth=none"));
            }
            Files.write(folder.resolve("zoo.cfg"), settings);
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
        up();
    }

    public static int freePort() {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return server.getLocalPort();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    public String url(String chroot) {
        return "zk://127.0.0.1:" + port + chroot;
    }

    public String tlsUrl(String chroot) {
        return "zks://localhost:" + tlsPort + chroot;
    }

    /** Starts it again, with the data that it had. */
    public void up() {
        ProcessBuilder builder = new ProcessBuilder(
                "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JARS,
                "org.apache.zookeeper.server.ZooKeeperServerMain", folder.resolve("zoo.cfg").toString());
        builder.redirectErrorStream(true).redirectOutput(folder.resolve("log").toFile());
        try {
            process = builder.start();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
        // `ruok` says yes long before it serves.
        Until.until("zookeeper serves", () -> ask("srvr").startsWith("Zookeeper version"));
    }

    /** Kills it, as a power cut would. */
    public void down() {
        process.destroyForcibly();
        try {
            process.waitFor();
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }

    private String ask(String command) {
        if (!process.isAlive()) throw new IllegalStateException("zookeeper ended; its log is in " + folder);
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(2_000);
            socket.getOutputStream().write(command.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException notYet) {
            return "";
        }
    }

    @Override
    public void close() {
        down();
        Folders.remove(folder);
    }
}

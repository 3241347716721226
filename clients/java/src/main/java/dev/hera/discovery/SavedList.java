package dev.hera.discovery;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.protocol.Json;
import dev.hera.protocol.Proof;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.slf4j.Logger;

/**
 * The last list of brokers, kept on disk for a start while ZooKeeper is away.
 *
 * <p>Copies of a worker on one host share the file: each replaces it whole, by rename, and they write the same. A file that cannot be read or
 * written is told once, and is never a reason to stop. One thread at a time.
 */
public final class SavedList {
    /** What a file of ours can be at most, with room to spare: 64 nodes of 4 KiB. */
    private static final int FILE_BYTES_MAX = 1_048_576;
    private static final int FORMAT = 1;

    private final Optional<Path> folder;
    private final Optional<Path> file;
    private final Logger log;
    private byte[] content = new byte[0];
    private boolean told;

    /** @param source the connection string, by which workers of the same cluster share the file */
    SavedList(Optional<Path> folder, String source, Logger log) {
        String digest = HexFormat.of().formatHex(Proof.sha256(source.getBytes(StandardCharsets.UTF_8))).substring(0, 16);
        this.folder = folder;
        this.file = folder.map(each -> each.resolve("brokers-" + digest + ".json"));
        this.log = log;
    }

    /** The folder for what is kept: {@code $HERA_STATE_DIR}, else {@code $XDG_STATE_HOME/hera}, else {@code ~/.local/state/hera}. */
    public static Optional<Path> folder(UnaryOperator<String> environment) {
        String own = environment.apply("HERA_STATE_DIR");
        if (own != null) return Optional.of(Path.of(own));
        String state = environment.apply("XDG_STATE_HOME");
        // A relative path there is to be ignored, says the XDG specification.
        if (state != null && Path.of(state).isAbsolute()) return Optional.of(Path.of(state, "hera"));
        String home = environment.apply("HOME");
        if (home == null) home = System.getProperty("user.home");
        // Where nobody knows a home the JVM says `?`.
        return home == null || home.equals("?") ? Optional.empty() : Optional.of(Path.of(home, ".local", "state", "hera"));
    }

    /** The brokers of the file; none where there is no file, or no good one. */
    List<BrokerNode> read() {
        if (file.isEmpty()) return List.of();
        try {
            if (!Files.isRegularFile(file.get())) {
                if (Files.exists(file.get())) throw new IOException("it is no file");
                return List.of();
            }
            long size = Files.size(file.get());
            if (size > FILE_BYTES_MAX) throw new IOException(size + " bytes exceed " + FILE_BYTES_MAX);
            byte[] bytes = Files.readAllBytes(file.get());
            List<BrokerNode> brokers = parse(bytes);
            content = bytes;
            return brokers;
        } catch (NoSuchFileException gone) {
            return List.of();
        } catch (IOException cause) {
            tell("read", cause);
            return List.of();
        }
    }

    /** Writes a list that is not the file's already. */
    void keep(List<BrokerNode> brokers) {
        if (file.isEmpty() || brokers.isEmpty()) return;
        if (content.length == 0) read();
        byte[] bytes = format(brokers);
        if (Arrays.equals(bytes, content)) return;
        Path beside = file.get().resolveSibling(file.get().getFileName() + "." + Long.toHexString(new SecureRandom().nextLong()));
        try {
            Files.createDirectories(folder.get(), mode("rwx------"));
            Files.createFile(beside, mode("rw-------"));
            Files.write(beside, bytes, StandardOpenOption.WRITE);
            Files.move(beside, file.get(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            content = bytes;
        } catch (IOException | UnsupportedOperationException cause) {
            tell("written", cause);
            remove(beside);
        }
    }

    private static FileAttribute<?> mode(String permissions) {
        return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions));
    }

    private static void remove(Path beside) {
        try {
            Files.deleteIfExists(beside);
        } catch (IOException untold) {
            // Writing failed, and that was told.
        }
    }

    private static byte[] format(List<BrokerNode> brokers) {
        byte[] json = Json.object(out -> {
            out.writeNumberField("format", FORMAT);
            out.writeArrayFieldStart("brokers");
            for (BrokerNode each : brokers) {
                out.writeStartObject();
                out.writeStringField("id", each.id());
                out.writeStringField("address", each.host());
                out.writeNumberField("port", each.port());
                out.writeArrayFieldStart("protocols");
                for (String protocol : each.protocols()) out.writeString(protocol);
                out.writeEndArray();
                out.writeEndObject();
            }
            out.writeEndArray();
        });
        byte[] line = Arrays.copyOf(json, json.length + 1);
        line[json.length] = '\n';
        return line;
    }

    /** Entries that are no brokers are left out, as nodes are. */
    private static List<BrokerNode> parse(byte[] bytes) throws IOException {
        List<BrokerNode> brokers = new ArrayList<>();
        try {
            JsonNode value = BrokerNode.json(bytes);
            if (value.path("format").asInt() != FORMAT || !value.path("brokers").isArray()) throw new IOException("format is not " + FORMAT);
            for (JsonNode each : value.path("brokers")) entry(each).ifPresent(brokers::add);
        } catch (BrokerNode.SkippedException notJson) {
            throw new IOException("it is no JSON", notJson);
        }
        return brokers.stream().limit(BrokerNode.BROKERS_MAX).toList();
    }

    private static Optional<BrokerNode> entry(JsonNode each) {
        try {
            return Optional.of(BrokerNode.of(each));
        } catch (BrokerNode.SkippedException noBroker) {
            return Optional.empty();
        }
    }

    private void tell(String verb, Exception cause) {
        if (told) return;
        told = true;
        log.warn("saved list of brokers {} cannot be {}: {}; without it a start while zookeeper is away finds no broker; set HERA_STATE_DIR to a folder "
                + "that can be written", file.get(), verb, cause.toString());
    }
}

package dev.hera.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/** Folders of tests, which go with them. */
public final class Folders {
    private Folders() {}

    public static Path make(String prefix) {
        try {
            return Files.createTempDirectory(prefix);
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    public static void remove(Path folder) {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) Files.deleteIfExists(each);
        } catch (IOException stillInUse) {
            // The system's own cleaning takes it.
        }
    }

    /** Copies what is in one folder to another that is made. */
    public static void copy(Path from, Path to) {
        try (Stream<Path> all = Files.walk(from)) {
            for (Path each : all.toList()) {
                if (!each.toString().endsWith(".lock")) Files.copy(each, to.resolve(from.relativize(each)), java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
            }
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }
}

package dev.hera.core;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.discovery.Source;
import dev.hera.protocol.WorkerKey;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/** Options of a worker as typed values, checked once. */
public record Settings(
        Source source,
        WorkerKey key,
        String version,
        Optional<Path> caFile,
        Optional<Path> stateFolder,
        boolean signals,
        Optional<Integer> inFlight,
        int threads,
        boolean virtualThreads,
        Duration drainTimeout,
        ObjectMapper mapper) {

    @Override
    public String toString() {
        return "settings of a worker with " + key;
    }
}

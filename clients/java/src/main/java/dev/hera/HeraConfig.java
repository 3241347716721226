package dev.hera;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.hera.core.Settings;
import dev.hera.discovery.SavedList;
import dev.hera.discovery.Source;
import dev.hera.protocol.WorkerKey;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

/** How a worker finds its brokers, what it proves itself with, and what it may use. Immutable; it holds a secret and shows none. */
public final class HeraConfig {
    private static final Pattern VERSION = Pattern.compile("[A-Za-z0-9._+-]{1,64}");
    private static final int CALLS_MAX = 65_535;
    private static final Duration DRAIN_MAX = Duration.ofMinutes(10);
    private static final int BODY_DEPTH_MAX = 256;

    private final Settings settings;

    private HeraConfig(Settings settings) {
        this.settings = settings;
    }

    /**
     * {@return everything from the environment: {@code HERA}, {@code SECRET} or {@code SECRET_FILE}, {@code HERA_CA_FILE}, {@code HERA_STATE_DIR}}
     *
     * @throws HeraException {@code bad_option} or {@code bad_key}
     */
    public static HeraConfig fromEnvironment() {
        return builder().build();
    }

    /** {@return a builder; what it is not given comes from the environment} */
    public static Builder builder() {
        return new Builder();
    }

    Settings settings() {
        return settings;
    }

    /** Gathers options. Not for several threads. */
    public static final class Builder {
        private Optional<String> brokers = Optional.empty();
        private Optional<String> secret = Optional.empty();
        private Optional<Path> caFile = Optional.empty();
        private Optional<ObjectMapper> mapper = Optional.empty();
        private Optional<Integer> inFlight = Optional.empty();
        private String version = "0";
        private boolean signals = true;
        private int threads = 256;
        private boolean virtualThreads = true;
        private Duration drainTimeout = Duration.ofSeconds(30);

        private Builder() {}

        /**
         * Where brokers are: {@code host:2181,host:2181/chroot} or {@code zk://…} finds them all in ZooKeeper and follows their list ({@code zks://…} over
         * TLS); {@code hera://host:4372[,host:4372]} names them, {@code heras://…} with TLS. Default: the environment variable {@code HERA}.
         *
         * @param brokers one such text
         * @return this
         */
        public Builder brokers(String brokers) {
            this.brokers = Optional.of(brokers);
            return this;
        }

        /**
         * The worker key, {@code herakey_…}. Default: {@code SECRET}, else the content of the file that {@code SECRET_FILE} names.
         *
         * @param secret never shown
         * @return this
         */
        public Builder secret(String secret) {
            this.secret = Optional.of(secret);
            return this;
        }

        /**
         * Version of the application, which callers see in {@code Hera-Worker}. Default: {@code 0}.
         *
         * @param version 1 to 64 of {@code [A-Za-z0-9._+-]}
         * @return this
         */
        public Builder version(String version) {
            this.version = Objects.requireNonNull(version, "version");
            return this;
        }

        /**
         * PEM file of the certificates that brokers, and ZooKeeper, on TLS are trusted by. Default: {@code HERA_CA_FILE}, else those of the JVM.
         *
         * @param file read when the worker connects
         * @return this
         */
        public Builder caFile(Path file) {
            caFile = Optional.of(file);
            return this;
        }

        /**
         * Whether a shutdown hook drains the worker on SIGTERM, SIGINT and {@code System.exit}. Default: yes.
         *
         * @param signals false: the application calls {@link Hera#close} itself
         * @return this
         */
        public Builder signals(boolean signals) {
            this.signals = signals;
            return this;
        }

        /**
         * Calls in flight on one broker's connection; the broker sends no more. Default: as many as there are handler threads, 1,024 with virtual
         * ones.
         *
         * @param calls 1 to 65,535
         * @return this
         */
        public Builder inFlight(int calls) {
            inFlight = Optional.of(calls);
            return this;
        }

        /**
         * Handlers that run at once, over all brokers, where the JVM has no virtual threads; one more call is refused as {@code busy}, and the
         * broker asks another worker. Threads are made as they are needed, and go after 10 s without work. Default: 256.
         *
         * @param threads 1 to 65,535
         * @return this
         */
        public Builder threads(int threads) {
            this.threads = threads;
            return this;
        }

        /**
         * Whether handlers run on virtual threads where the JVM has them (21 and later). Default: yes.
         *
         * @param virtualThreads false: always on the bounded pool
         * @return this
         */
        public Builder virtualThreads(boolean virtualThreads) {
            this.virtualThreads = virtualThreads;
            return this;
        }

        /**
         * How long {@link Hera#close} and the shutdown hook wait for calls in flight. Default: 30 s.
         *
         * @param timeout 0 to 10 minutes
         * @return this
         */
        public Builder drainTimeout(Duration timeout) {
            drainTimeout = Objects.requireNonNull(timeout, "timeout");
            return this;
        }

        /**
         * What reads and writes the JSON of bodies. Default: one that ignores unknown members, has no types by name and reads at most 256 deep.
         *
         * @param mapper not to be changed from now on; one with default typing lets callers choose classes, and must not be given
         * @return this
         */
        public Builder mapper(ObjectMapper mapper) {
            this.mapper = Optional.of(mapper);
            return this;
        }

        /**
         * {@return the options, checked}
         *
         * @throws HeraException {@code bad_option} or {@code bad_key}, which never show the secret
         */
        public HeraConfig build() {
            return build(System::getenv);
        }

        HeraConfig build(UnaryOperator<String> environment) {
            UnaryOperator<String> variable = name -> {
                String value = environment.apply(name);
                return value == null || value.isBlank() ? null : value.strip();
            };
            String source = brokers.or(() -> Optional.ofNullable(variable.apply("HERA"))).orElseThrow(() -> bad(
                    "brokers (HERA) are not set: hera://host:4372 names a broker, host:2181/chroot a ZooKeeper"));
            if (!VERSION.matcher(version).matches()) throw bad("version is not 1 to 64 of A-Z a-z 0-9 . _ + -");
            if (drainTimeout.isNegative() || drainTimeout.compareTo(DRAIN_MAX) > 0) {
                throw bad("drainTimeout " + drainTimeout + " is not 0 to 10 minutes");
            }
            int most = within("threads", threads);
            return new HeraConfig(new Settings(
                    Source.parse(source),
                    WorkerKey.parse(secret(variable)),
                    version,
                    caFile.or(() -> Optional.ofNullable(variable.apply("HERA_CA_FILE")).map(Path::of)),
                    SavedList.folder(variable),
                    signals,
                    inFlight.map(calls -> within("inFlight", calls)),
                    most,
                    virtualThreads,
                    drainTimeout,
                    mapper.orElseGet(Builder::plainMapper)));
        }

        private String secret(UnaryOperator<String> variable) {
            Optional<String> text = secret.or(() -> Optional.ofNullable(variable.apply("SECRET")));
            if (text.isPresent()) return text.get();
            String file = variable.apply("SECRET_FILE");
            if (file == null) throw bad("secret (SECRET, SECRET_FILE) is not set: `hera key create` prints one");
            try {
                return Files.readString(Path.of(file));
            } catch (IOException cause) {
                throw new HeraException("bad_option", "SECRET_FILE " + file + " cannot be read: " + cause, cause);
            }
        }

        private static ObjectMapper plainMapper() {
            JsonFactory factory = JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(BODY_DEPTH_MAX).build())
                    // Names in bodies are the callers' to choose: what is kept of them must not grow with the calls.
                    .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
                    .build();
            return JsonMapper.builder(factory)
                    .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                    .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                    .build();
        }

        private static int within(String name, int value) {
            if (value >= 1 && value <= CALLS_MAX) return value;
            throw bad(name + " " + value + " is not 1 to " + CALLS_MAX);
        }

        private static HeraException bad(String message) {
            return new HeraException("bad_option", message);
        }
    }
}

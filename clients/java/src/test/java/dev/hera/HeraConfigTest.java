package dev.hera;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.hera.core.Settings;
import dev.hera.discovery.Address;
import dev.hera.discovery.Source;
import dev.hera.testkit.FakeBroker;
import dev.hera.testkit.Folders;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

class HeraConfigTest {
    private static Settings settings(HeraConfig.Builder options, Map<String, String> environment) {
        return options.build(environment::get).settings();
    }

    @Test
    void environment_fills_what_is_not_set() {
        Map<String, String> environment = Map.of(
                "HERA", "hera://b:1", "SECRET", FakeBroker.SECRET + "\n", "HERA_CA_FILE", "/ca.pem", "HERA_STATE_DIR", "/state", "HOME", "/home/x");

        Settings settings = settings(HeraConfig.builder(), environment);
        assertEquals(new Source.Fixed(List.of(new Address("b", 1, false))), settings.source());
        assertEquals("0123456789abcdef", settings.key().id());
        assertEquals(Optional.of(Path.of("/ca.pem")), settings.caFile());
        assertEquals(Optional.of(Path.of("/state")), settings.stateFolder());

        Settings own = settings(HeraConfig.builder().brokers("heras://c").version("1.2"), environment);
        assertEquals(new Source.Fixed(List.of(new Address("c", 4372, true))), own.source());
        assertEquals("1.2", own.version());
    }

    @Test
    void secret_comes_from_its_file_last() throws IOException {
        Path file = Folders.make("hera-secret-").resolve("key");
        Files.writeString(file, FakeBroker.SECRET + "\n");

        Settings settings = settings(HeraConfig.builder().brokers("hera://b"), Map.of("SECRET_FILE", file.toString(), "SECRET", " "));

        assertEquals("0123456789abcdef", settings.key().id());
    }

    @Test
    void state_folder_is_the_first_that_is_named() {
        Map<String, String> xdg = Map.of("HERA", "zk", "SECRET", FakeBroker.SECRET, "XDG_STATE_HOME", "/xdg", "HOME", "/home/x");
        assertEquals(Optional.of(Path.of("/xdg/hera")), settings(HeraConfig.builder(), xdg).stateFolder());
        Map<String, String> relative = Map.of("HERA", "zk", "SECRET", FakeBroker.SECRET, "XDG_STATE_HOME", "xdg", "HOME", "/home/x");
        assertEquals(Optional.of(Path.of("/home/x/.local/state/hera")), settings(HeraConfig.builder(), relative).stateFolder());
    }

    @Test
    void bad_options_are_named_and_the_secret_is_not_shown() {
        Supplier<HeraConfig.Builder> good = () -> HeraConfig.builder().brokers("hera://b").secret(FakeBroker.SECRET);
        List<HeraConfig.Builder> cases = List.of(
                HeraConfig.builder().secret(FakeBroker.SECRET),
                HeraConfig.builder().brokers("hera://b"),
                good.get().secret("herakey_hunter2"),
                good.get().version("a b"),
                good.get().version("x".repeat(65)),
                good.get().inFlight(0),
                good.get().threads(65_536),
                good.get().drainTimeout(Duration.ofSeconds(-1)),
                HeraConfig.builder().brokers("hera://b").secret("x"));

        for (HeraConfig.Builder options : cases) {
            HeraException error = assertThrows(HeraException.class, () -> settings(options, Map.of()));
            assertEquals(true, List.of("bad_option", "bad_key").contains(error.code()), error.code());
            assertFalse(error.toString().contains("hunter2"));
        }
        assertFalse(settings(good.get(), Map.of()).toString().contains(FakeBroker.SECRET));
    }
}

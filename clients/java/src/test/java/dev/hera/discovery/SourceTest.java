package dev.hera.discovery;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.HeraException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SourceTest {
    @Test
    void connection_strings_name_addresses_in_order() {
        Map<String, String> cases = Map.of(
                "hera://a:1", "[a:1]",
                "hera://a,b:2/", "[a:4372, b:2]",
                "heras://a:1, b:2", "[a:1, b:2]",
                "hera://[::1]:9,[::1]", "[[::1]:9, [::1]:4372]",
                "hera://a:1,a:1", "[a:1]",
                " hera://127.0.0.1:4372\n", "[127.0.0.1:4372]");

        cases.forEach((text, expected) -> {
            Source.Fixed fixed = (Source.Fixed) Source.parse(text);
            assertEquals(expected, fixed.brokers().toString(), text);
            assertTrue(fixed.brokers().stream().allMatch(each -> each.tls() == text.startsWith("heras")), text);
        });
    }

    @Test
    void strings_without_our_scheme_mean_zookeeper() {
        Map<String, String> cases = Map.of(
                "a:2181,b:2181/hera", "[a:2181, b:2181] /hera",
                "zk://a/hera/", "[a:2181] /hera",
                "zookeeper", "[zookeeper:2181] ",
                "zk://a:1/", "[a:1] ",
                "zks://a:2281/x/y", "[a:2281] /x/y");

        cases.forEach((text, expected) -> {
            Source.Ensemble ensemble = (Source.Ensemble) Source.parse(text);
            assertEquals(expected, ensemble.servers() + " " + ensemble.chroot(), text);
            assertEquals(text.startsWith("zks"), ensemble.tls());
        });
    }

    @Test
    void other_strings_are_refused() {
        for (String text : List.of(
                "", "hera://", "hera://:1", "hera://a:0", "hera://a:x", "hera://a:70000", "hera://a/b", "hera://u@a:1", "http://a", "zk://a/../b", "zk://a//b",
                "zk://a/b c", "zk://a/" + "x".repeat(255), "zk://")) {
            assertEquals("bad_option", assertThrows(HeraException.class, () -> Source.parse(text), text).code());
        }
        StringBuilder servers = new StringBuilder("zk://s0");
        for (int i = 1; i < 65; i++) servers.append(",s").append(i);
        assertThrows(HeraException.class, () -> Source.parse(servers.toString()));
    }
}

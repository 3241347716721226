package dev.hera.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.Spec;
import java.lang.reflect.Field;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class RegistriesTest {
    @Test
    void codes_are_those_of_the_specification() {
        Map<String, Integer> table = new TreeMap<>();
        Pattern.compile("(?m)^\\| ([a-z_]+) \\| (-\\d+) \\|")
                .matcher(Spec.text("errors.md"))
                .results()
                .forEach(row -> table.put(row.group(1), Integer.valueOf(row.group(2))));

        Map<String, Integer> codes = new TreeMap<>();
        for (Code code : Code.values()) codes.put(code.text(), code.number());

        assertEquals(table, codes);
    }

    @Test
    void limits_are_those_of_the_specification() throws IllegalAccessException {
        String table = Spec.text("limits.md");
        for (Field limit : Limits.class.getFields()) {
            String name = limit.getName().toLowerCase(Locale.ROOT);
            assertTrue(
                    Pattern.compile("(?m)^\\| " + name + " \\| " + limit.getInt(null) + " \\|").matcher(table).results().map(MatchResult::group).count() == 1,
                    name);
        }
    }
}

package dev.hera.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Backoff, ticks and queries. */
class SmallPartsTest {
    private static final long MS = 1_000_000;

    @Test
    void backoff_doubles_its_bound_up_to_ten_seconds_and_begins_again() {
        Backoff most = new Backoff(() -> 1.0);
        List<Long> bounds = java.util.stream.Stream.generate(most::nextMs).limit(9).toList();
        assertEquals(List.of(100L, 200L, 400L, 800L, 1_600L, 3_200L, 6_400L, 10_000L, 10_000L), bounds);
        for (int i = 0; i < 100; i++) assertEquals(10_000, most.nextMs());
        most.reset();
        assertEquals(100, most.nextMs());

        Backoff any = new Backoff(new Random(5)::nextDouble);
        for (int i = 0; i < 20; i++) assertTrue(any.nextMs() <= 10_000);
    }

    @Test
    void time_counts_from_the_tick_before_after_a_freeze() {
        Ticks ticks = new Ticks(0);
        for (long ms : new long[] {5, 50, 101, 150, 203, 330}) {
            assertEquals(ms * MS, ticks.turn(ms * MS).arrival());
        }
        Ticks frozen = new Ticks(0);
        frozen.turn(100 * MS);

        assertEquals(new Ticks.Turn(100 * MS, true, true), frozen.turn(5_100 * MS));
        assertEquals(new Ticks.Turn(5_101 * MS, false, false), frozen.turn(5_101 * MS));
    }

    @Test
    void queries_are_read_as_forms_are() {
        Query query = Query.parse("a=1&a=2&b&c=%C3%A9+x&=y&d=%zz&e=a%3Db&&f=%");

        assertEquals(List.of("1", "2"), query.all("a"));
        assertEquals(List.of(""), query.all("b"));
        assertEquals(List.of("é x"), query.all("c"));
        assertEquals(List.of("y"), query.all(""));
        assertEquals(List.of("%zz"), query.all("d"));
        assertEquals(List.of("a=b"), query.all("e"));
        assertEquals(List.of("%"), query.all("f"));
        assertEquals(List.of(), query.all("g"));
    }
}

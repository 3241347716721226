package dev.hera.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.Hera;
import dev.hera.HeraException;
import dev.hera.protocol.Frame;
import dev.hera.testkit.FakeBroker;
import dev.hera.testkit.Until;
import dev.hera.testkit.Workers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** What a session says to a broker, good or bad. */
class SessionTest {
    private static String code(FakeBroker.Received received) {
        return received.message().path("error").path("data").path("code").asText();
    }

    private static void hello(Hera hera) {
        hera.get("/0/hello", ctx -> ctx.text("hello"));
    }

    @Test
    void ping_status_and_unknown_methods_are_answered() {
        try (Workers workers = Workers.serving(SessionTest::hello)) {
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}}");
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"status\",\"params\":{}}");
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"dance\",\"params\":{}}");
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"GET /0/other\",\"params\":{}}");
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"GET /0/hello\",\"params\":{\"method\":1}}");

            assertTrue(workers.peer.response(1).message().path("result").isObject());
            JsonNode load = workers.peer.response(2).message().path("result");
            for (String name : List.of("cpu", "rss_bytes", "rss_limit_bytes", "delay_ms", "in_flight")) {
                assertTrue(load.path(name).isNumber() && load.path(name).asDouble() >= 0, name + " of " + load);
            }
            assertEquals("unknown_method", code(workers.peer.response(3)));
            assertEquals("unknown_method", code(workers.peer.response(4)));
            assertEquals("invalid_params", code(workers.peer.response(5)));
        }
    }

    @Test
    void call_past_its_deadline_is_not_started() {
        AtomicInteger runs = new AtomicInteger();
        try (Workers workers = Workers.serving(hera -> hera.get("/0/hello", ctx -> runs.incrementAndGet()))) {
            long id = workers.peer.call("GET /0/hello", 0, "", Frame.NOTHING);

            assertEquals("past_deadline", code(workers.peer.response(id)));
            assertEquals(0, runs.get());
        }
    }

    @Test
    void call_and_its_cancel_in_one_read_start_no_handler() {
        AtomicInteger runs = new AtomicInteger();
        try (Workers workers = Workers.serving(hera -> hera.get("/0/hello", ctx -> runs.incrementAndGet()))) {
            long id = workers.peer.nextId();
            Frame call = new Frame(workers.peer.callHead(id, "GET /0/hello", 15_000, "").getBytes(StandardCharsets.UTF_8));
            Frame cancel = new Frame(("{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":" + id + "}}").getBytes(StandardCharsets.UTF_8));
            workers.peer.raw(ByteBuffer.allocate(call.bytes() + cancel.bytes())
                    .put(call.prefix())
                    .put(call.head())
                    .put(cancel.prefix())
                    .put(cancel.head())
                    .array());

            workers.peer.response(workers.peer.call("GET /0/hello"));
            assertEquals(1, runs.get());
            Until.until("no call is in flight", () -> workers.hera.inFlight() == 0);
        }
    }

    @Test
    void cancel_interrupts_the_handler_sets_the_flag_and_nothing_is_sent() {
        CountDownLatch started = new CountDownLatch(1);
        CompletableFuture<String> seen = new CompletableFuture<>();
        try (Workers workers = Workers.serving(hera -> {
            hera.get("/0/wait", ctx -> {
                started.countDown();
                try {
                    Thread.sleep(60_000);
                } catch (InterruptedException cause) {
                    seen.complete("interrupted " + ctx.cancelled());
                    ctx.text("too late");
                }
            });
            hello(hera);
        })) {
            long id = workers.peer.call("GET /0/wait");
            await(started);
            workers.peer.notify("cancel", "{\"id\":" + id + "}");

            assertEquals("interrupted true", seen.join());
            long next = workers.peer.call("GET /0/hello");
            List<Long> answered = new ArrayList<>();
            while (!answered.contains(next)) answered.add(workers.peer.next().message().path("id").asLong());
            assertFalse(answered.contains(id));
        }
    }

    @Test
    void three_bad_heads_end_the_session_and_the_worker_dials_again() {
        try (Workers workers = Workers.serving(SessionTest::hello)) {
            String bomb = "[".repeat(100_000) + "]".repeat(100_000);
            workers.peer.send(bomb);
            assertEquals("parse_error", code(workers.peer.next()));
            workers.peer.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GET /0/hello\",\"params\":" + "{\"a\":".repeat(80) + "1" + "}".repeat(80) + "}");
            assertEquals("parse_error", code(workers.peer.next()));
            workers.peer.send("{}");
            assertEquals("invalid_request", code(workers.peer.last().orElseThrow()));

            try (FakeBroker.Peer again = workers.broker.worker()) {
                assertEquals(200, again.response(again.call("GET /0/hello")).message().path("result").path("status").asInt());
            }
        }
    }

    @Test
    void frames_that_cannot_be_are_named_and_end_the_session() {
        for (String prefix : List.of("0000000300000002", "7fffffff00000002", "00000010ffffffff", "ffffffffffffffff", "0000000600000001")) {
            try (Workers workers = Workers.serving(SessionTest::hello)) {
                workers.peer.raw(java.util.HexFormat.of().parseHex(prefix));

                FakeBroker.Received last = workers.peer.last().orElseThrow();
                assertTrue(List.of("bad_frame", "frame_too_large").contains(code(last)), prefix + ": " + last.message());
                assertTrue(last.message().path("id").isNull());
            }
        }
    }

    @Test
    void chunks_that_were_not_granted_end_the_session() {
        try (Workers workers = Workers.serving(hera -> hera.post("/0/in", ctx -> {
            ctx.bodyStream().read();
            Thread.sleep(60_000);
        }))) {
            long id = workers.peer.call("POST /0/in", 15_000, ",\"more\":true", Frame.NOTHING);
            workers.peer.until(each -> each.path("method").asText().equals("credit"));
            byte[] chunk = new byte[200_000];
            for (int i = 0; i < 2; i++) workers.peer.send("{\"jsonrpc\":\"2.0\",\"method\":\"chunk\",\"params\":{\"id\":" + id + ",\"body\":\"call\"}}", chunk);

            assertEquals("credit_exceeded", code(workers.peer.last().orElseThrow()));
        }
    }

    @Test
    void credit_that_cannot_be_ends_the_session() {
        for (String bytes : List.of("0", "-1", "2147483648", "1.5", "\"7\"", "1e999")) {
            try (Workers workers = Workers.serving(hera -> hera.get("/0/out", ctx -> {
                ctx.outputStream().flush();
                Thread.sleep(60_000);
            }))) {
                long id = workers.peer.call("GET /0/out");
                workers.peer.response(id);
                workers.peer.notify("credit", "{\"id\":" + id + ",\"body\":\"reply\",\"bytes\":" + bytes + "}");

                assertEquals("invalid_params", code(workers.peer.last().orElseThrow()), bytes);
            }
        }
    }

    @Test
    void a_hundred_answers_to_nothing_end_the_session() {
        try (Workers workers = Workers.serving(SessionTest::hello)) {
            for (int i = 0; i < 100; i++) workers.peer.result(5_000 + i, "{}");

            assertEquals("invalid_request", code(workers.peer.last().orElseThrow()));
        }
    }

    @Test
    void id_that_is_in_flight_already_ends_the_session() {
        try (Workers workers = Workers.serving(hera -> hera.get("/0/wait", ctx -> Thread.sleep(60_000)))) {
            String head = workers.peer.callHead(7, "GET /0/wait", 15_000, "");
            workers.peer.send(head);
            workers.peer.send(head);

            assertEquals("invalid_request", code(workers.peer.last().orElseThrow()));
        }
    }

    @Test
    void broker_of_another_cluster_is_left_and_no_reason_to_stop() {
        try (FakeBroker broker = new FakeBroker()) {
            Hera hera = Hera.with(Workers.config(broker).build());
            hello(hera);
            CompletableFuture<Void> connected = CompletableFuture.runAsync(hera::connect);
            try (FakeBroker.Peer impostor = broker.accept()) {
                impostor.frame();
                impostor.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"version\":1}}", new byte[64]);
                assertEquals(Optional.empty(), impostor.last().map(each -> each.message().path("method").asText()));
            }

            assertFalse(connected.isDone());
            hera.close();
            assertEquals("closed", ((HeraException) assertThrows(CompletionException.class, connected::join).getCause()).code());
        }
    }

    @Test
    void refusal_of_a_broker_that_is_not_proven_is_not_believed() {
        try (FakeBroker broker = new FakeBroker()) {
            Hera hera = Hera.with(Workers.config(broker).build());
            hello(hera);
            CompletableFuture<Void> connected = CompletableFuture.runAsync(hera::connect);
            try (FakeBroker.Peer refusing = broker.accept()) {
                refusing.frame();
                refusing.send("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32012,\"message\":\"no\",\"data\":{\"code\":\"unauthenticated\"}}}");
                refusing.last();
            }

            assertFalse(connected.isDone());
            hera.close();
            assertThrows(CompletionException.class, connected::join);
        }
    }

    @Test
    void drain_waits_for_its_fence_and_for_calls() {
        CountDownLatch finish = new CountDownLatch(1);
        try (Workers workers = Workers.serving(hera -> hera.get("/0/wait", ctx -> {
            await(finish);
            ctx.text("done");
        }))) {
            long id = workers.peer.call("GET /0/wait");
            Until.until("the call runs", () -> workers.hera.inFlight() == 1);
            CompletableFuture<Void> closed = CompletableFuture.runAsync(workers.hera::close);
            FakeBroker.Received drain = workers.peer.until(each -> each.path("method").asText().equals("drain"));
            long crossed = workers.peer.call("GET /0/wait");
            workers.peer.result(drain.message().path("id").asLong(), "{}");
            finish.countDown();

            assertEquals(200, workers.peer.response(id).message().path("result").path("status").asInt());
            assertEquals(200, workers.peer.response(crossed).message().path("result").path("status").asInt());
            assertEquals(Optional.empty(), workers.peer.last().map(each -> each.message().toString()));
            workers.peer.close();
            closed.join();
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }
}

package dev.hera.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.Handler;
import dev.hera.HeraException;
import dev.hera.protocol.Frame;
import dev.hera.testkit.FakeBroker;
import dev.hera.testkit.Until;
import dev.hera.testkit.Workers;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.slf4j.MDC;

/** Handlers of every manner, good or bad, on a real connection. */
class HandlersTest {
    private static JsonNode result(FakeBroker.Received received) {
        return received.message().path("result");
    }

    private static String failure(FakeBroker.Received received) {
        return received.message().path("error").path("data").path("code").asText();
    }

    private static String text(FakeBroker.Received received) {
        return new String(received.attachment(), StandardCharsets.UTF_8);
    }

    private static void await(CountDownLatch latch) throws InterruptedException {
        if (!latch.await(60, TimeUnit.SECONDS)) throw new AssertionError("waited for nothing");
    }

    @Test
    void error_and_exceptions_cost_their_own_call_alone() {
        try (Workers workers = Workers.serving(hera -> {
            hera.get("/0/error", ctx -> {
                throw new StackOverflowError("deep");
            });
            hera.get("/0/exception", ctx -> {
                throw new IOException("secret text");
            });
            hera.get("/0/known", ctx -> {
                throw new HeraException(409, "taken", "that name is taken");
            });
            hera.get("/0/mapped", ctx -> {
                ctx.json(Map.of("half", "done"));
                throw new IllegalStateException("gone");
            });
            hera.get("/0/badly", ctx -> ctx.header("a", "b\r\nc: d"));
            hera.exception(RuntimeException.class, (e, ctx) -> ctx.status(418).text("runtime"));
            hera.exception(IllegalStateException.class, (e, ctx) -> ctx.status(404).json(Map.of("error", e.getMessage())));
            hera.exception(HeraException.class, (e, ctx) -> {
                throw e;
            });
        })) {
            assertEquals("handler_failed", failure(workers.peer.response(workers.peer.call("GET /0/error"))));
            FakeBroker.Received failed = workers.peer.response(workers.peer.call("GET /0/exception"));
            assertEquals("handler_failed", failure(failed));
            assertFalse(failed.message().toString().contains("secret"));
            FakeBroker.Received mapped = workers.peer.response(workers.peer.call("GET /0/mapped"));
            assertEquals(404, result(mapped).path("status").asInt());
            assertEquals("{\"error\":\"gone\"}", text(mapped));
            assertEquals(418, result(workers.peer.response(workers.peer.call("GET /0/badly"))).path("status").asInt());
            assertEquals("handler_failed", failure(workers.peer.response(workers.peer.call("GET /0/known"))));
        }
    }

    @Test
    void known_error_is_told_to_the_caller() {
        try (Workers workers = Workers.serving(hera -> hera.get("/0/known", ctx -> {
            throw new HeraException(409, "taken", "that name is taken");
        }))) {
            FakeBroker.Received known = workers.peer.response(workers.peer.call("GET /0/known"));

            assertEquals(409, result(known).path("status").asInt());
            assertTrue(text(known).contains("\"code\":\"taken\"") && text(known).contains("\"request_id\":\"r-1\""), text(known));
        }
    }

    @Test
    void second_answer_is_dropped() {
        AtomicBoolean late = new AtomicBoolean();
        try (Workers workers = Workers.serving(hera -> hera.get("/0/twice", ctx -> {
            ctx.json(Map.of("n", 1));
            ctx.json(Map.of("n", 2));
            new Thread(() -> {
                ctx.text("three");
                late.set(true);
            }).start();
        }))) {
            FakeBroker.Received answer = workers.peer.response(workers.peer.call("GET /0/twice"));

            assertEquals("{\"n\":1}", text(answer));
            Until.until("the late answer was given", late::get);
            assertEquals("{\"n\":1}", text(workers.peer.response(workers.peer.call("GET /0/twice"))));
        }
    }

    @Test
    void handlers_that_ignore_interrupts_take_their_threads_and_others_are_refused_as_busy() throws InterruptedException {
        CountDownLatch stuck = new CountDownLatch(2);
        CountDownLatch release = new CountDownLatch(1);
        try (Workers workers = Workers.serving(
                hera -> {
                    hera.get("/0/deaf", ctx -> {
                        stuck.countDown();
                        boolean free = false;
                        while (!free) {
                            try {
                                await(release);
                                free = true;
                            } catch (InterruptedException ignored) {
                                // Deaf to it, as some code is.
                            }
                        }
                    });
                    hera.get("/0/hello", ctx -> ctx.text("hello"));
                },
                options -> options.threads(2).virtualThreads(false).inFlight(100))) {
            long first = workers.peer.call("GET /0/deaf");
            long second = workers.peer.call("GET /0/deaf");
            await(stuck);
            assertEquals("busy", failure(workers.peer.response(workers.peer.call("GET /0/hello"))));
            workers.peer.notify("cancel", "{\"id\":" + first + "}");
            workers.peer.notify("cancel", "{\"id\":" + second + "}");
            Until.until("the calls are over", () -> workers.hera.inFlight() == 0);
            assertEquals("busy", failure(workers.peer.response(workers.peer.call("GET /0/hello"))));

            release.countDown();
            Until.until("there is room again", () -> text(workers.peer.response(workers.peer.call("GET /0/hello"))).equals("hello"));
        }
    }

    @Test
    void deadline_interrupts_a_handler_that_blocks_for_ever() throws InterruptedException {
        CountDownLatch interrupted = new CountDownLatch(1);
        try (Workers workers = Workers.serving(hera -> hera.get("/0/wait", ctx -> {
            try {
                new CountDownLatch(1).await();
            } finally {
                if (ctx.cancelled() && ctx.remaining().isZero()) interrupted.countDown();
            }
        }))) {
            workers.peer.call("GET /0/wait", 50, "", Frame.NOTHING);

            await(interrupted);
        }
    }

    @Test
    void interrupt_of_one_call_never_reaches_the_next_on_its_thread() {
        try (Workers workers = Workers.serving(
                hera -> {
                    hera.get("/0/spin", ctx -> {
                        while (!ctx.cancelled()) Thread.onSpinWait();
                    });
                    hera.get("/0/flag", ctx -> ctx.text(Boolean.toString(Thread.currentThread().isInterrupted())));
                },
                options -> options.threads(1).virtualThreads(false).inFlight(100))) {
            for (int round = 0; round < 50; round++) {
                long id = workers.peer.call("GET /0/spin");
                Until.until("it runs", () -> workers.hera.inFlight() == 1);
                workers.peer.notify("cancel", "{\"id\":" + id + "}");
                Until.until("it is answered", () -> {
                    FakeBroker.Received answer = workers.peer.response(workers.peer.call("GET /0/flag"));
                    if (failure(answer).equals("busy")) return false;
                    assertEquals("false", text(answer));
                    return true;
                });
            }
        }
    }

    @Test
    void stage_answers_when_it_completes_and_is_cancelled_with_its_call() throws InterruptedException {
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
        CompletableFuture<Void> forever = new CompletableFuture<>();
        CountDownLatch begun = new CountDownLatch(1);
        try (Workers workers = Workers.serving(
                hera -> {
                    hera.get("/0/later", Handler.async(ctx -> {
                        CompletableFuture<Void> done = new CompletableFuture<>();
                        timer.schedule(() -> done.complete(null), 20, TimeUnit.MILLISECONDS);
                        return done.thenRun(() -> ctx.text("later " + MDC.get("request_id")));
                    }));
                    hera.get("/0/failing", Handler.async(ctx -> CompletableFuture.failedFuture(new HeraException(403, "no", "no"))));
                    hera.get("/0/never", Handler.async(ctx -> {
                        begun.countDown();
                        return forever;
                    }));
                    hera.after(ctx -> ctx.header("x-after", MDC.get("request_id")));
                },
                options -> options.threads(1).virtualThreads(false).inFlight(100))) {
            FakeBroker.Received later = workers.peer.response(workers.peer.call("GET /0/later"));
            assertTrue(text(later).startsWith("later"), text(later));
            assertTrue(result(later).path("headers").toString().contains("[\"x-after\",\"r-1\"]"), later.message().toString());
            assertEquals(403, result(workers.peer.response(workers.peer.call("GET /0/failing"))).path("status").asInt());

            long id = workers.peer.call("GET /0/never");
            await(begun);
            // The handler's only thread is free again.
            workers.peer.response(workers.peer.call("GET /0/later"));
            workers.peer.notify("cancel", "{\"id\":" + id + "}");
            Until.until("the stage is cancelled", forever::isCancelled);
        } finally {
            timer.shutdownNow();
        }
    }

    @Test
    void filter_that_answers_keeps_the_handler_from_running() {
        AtomicBoolean ran = new AtomicBoolean();
        try (Workers workers = Workers.serving(hera -> {
            hera.before(ctx -> ctx.status(401).text("who are you?"));
            hera.get("/0/secret", ctx -> ran.set(true));
        })) {
            assertEquals(401, result(workers.peer.response(workers.peer.call("GET /0/secret"))).path("status").asInt());
            assertFalse(ran.get());
        }
    }

    @Test
    void answers_without_a_body_and_to_head_keep_what_they_may() {
        try (Workers workers = Workers.serving(hera -> {
            hera.delete("/0/none", ctx -> {});
            hera.head("/0/head", ctx -> ctx.text("12345"));
        })) {
            assertEquals(204, result(workers.peer.response(workers.peer.call("DELETE /0/none"))).path("status").asInt());
            FakeBroker.Received head = workers.peer.response(workers.peer.call("HEAD /0/head"));
            assertEquals(0, head.attachment().length);
            assertTrue(result(head).path("headers").toString().contains("[\"content-length\",\"5\"]"));
        }
    }

    // ---- streams

    @Test
    void body_comes_in_pieces_under_credit_and_goes_out_so() throws IOException {
        byte[] sent = bytes(700_000);
        try (Workers workers = Workers.serving(hera -> hera.endpoint("POST /0/echo").bodyBytesMax(10_000_000).handle(ctx -> {
            try (InputStream in = ctx.bodyStream(); OutputStream out = ctx.outputStream()) {
                in.transferTo(out);
            }
        }))) {
            long id = workers.peer.call("POST /0/echo", 15_000, ",\"more\":true", java.util.Arrays.copyOf(sent, 1_000));
            assertArrayEquals(sent, exchange(workers.peer, id, sent, 1_000));
            Until.until("the call is over", () -> workers.hera.inFlight() == 0);
        }
    }

    /** Sends the rest of a body under credit, and gives the body of the answer. */
    private static byte[] exchange(FakeBroker.Peer peer, long id, byte[] body, int from) {
        ByteArrayOutputStream got = new ByteArrayOutputStream();
        int at = from;
        long credit = 0;
        boolean ended = false;
        while (true) {
            while (credit > 0 && at < body.length) {
                int length = (int) Math.min(Math.min(credit, 100_000), body.length - at);
                peer.send("{\"jsonrpc\":\"2.0\",\"method\":\"chunk\",\"params\":{\"id\":" + id + ",\"body\":\"call\"}}", java.util.Arrays.copyOfRange(body, at, at + length));
                at += length;
                credit -= length;
            }
            if (at == body.length && !ended) {
                ended = true;
                peer.notify("end", "{\"id\":" + id + ",\"body\":\"call\"}");
            }
            FakeBroker.Received next = peer.next();
            String method = next.message().path("method").asText();
            if (method.equals("credit")) {
                credit += next.message().path("params").path("bytes").asLong();
            } else if (method.equals("end")) {
                return got.toByteArray();
            } else {
                assertTrue(method.equals("chunk") || next.message().has("result"), next.message().toString());
                got.writeBytes(next.attachment());
                peer.notify("credit", "{\"id\":" + id + ",\"body\":\"reply\",\"bytes\":" + Math.max(1, next.attachment().length + 300_000) + "}");
            }
        }
    }

    @Test
    void whole_answer_over_a_frame_goes_on_in_chunks_with_its_length() {
        byte[] large = bytes(1_000_000);
        try (Workers workers = Workers.serving(hera -> hera.get("/0/large", ctx -> ctx.bytes(large)))) {
            long id = workers.peer.call("GET /0/large");
            FakeBroker.Received head = workers.peer.response(id);
            assertTrue(result(head).path("headers").toString().contains("[\"content-length\",\"1000000\"]"));
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            workers.peer.notify("credit", "{\"id\":" + id + ",\"body\":\"reply\",\"bytes\":1000000}");
            for (FakeBroker.Received next = workers.peer.next(); !next.message().path("method").asText().equals("end"); next = workers.peer.next()) {
                got.writeBytes(next.attachment());
            }
            assertArrayEquals(large, got.toByteArray());
        }
    }

    @Test
    void writer_waits_for_its_reader_and_is_told_when_nobody_reads_on() throws InterruptedException {
        CountDownLatch told = new CountDownLatch(1);
        try (Workers workers = Workers.serving(hera -> hera.get("/0/endless", ctx -> {
            byte[] piece = new byte[10_000];
            long written = 0;
            try {
                while (true) {
                    ctx.outputStream().write(piece);
                    written += piece.length;
                }
            } catch (IOException nobodyReads) {
                // What waits in the worker is bounded: an attachment, a window, and what is being gathered.
                if (written < 700_000) told.countDown();
                throw nobodyReads;
            }
        }))) {
            long id = workers.peer.call("GET /0/endless");
            workers.peer.response(id);
            workers.peer.notify("reset", "{\"id\":" + id + ",\"body\":\"reply\",\"code\":\"cancelled\"}");

            await(told);
            Until.until("the call is over", () -> workers.hera.inFlight() == 0);
        }
    }

    @Test
    void answer_whose_handler_throws_midway_is_cut_short() {
        try (Workers workers = Workers.serving(hera -> {
            hera.get("/0/half", ctx -> {
                ctx.outputStream().write(new byte[10]);
                ctx.outputStream().flush();
                throw new IOException("the rest is gone");
            });
            hera.get("/0/source", ctx -> ctx.stream(new InputStream() {
                private int left = 300_000;

                @Override
                public int read() throws IOException {
                    if (left-- <= 0) throw new IOException("disk is gone");
                    return 1;
                }
            }));
        })) {
            for (String path : new String[] {"GET /0/half", "GET /0/source"}) {
                long id = workers.peer.call(path);
                workers.peer.response(id);
                workers.peer.notify("credit", "{\"id\":" + id + ",\"body\":\"reply\",\"bytes\":1000000}");
                FakeBroker.Received reset = workers.peer.until(each -> each.path("method").asText().equals("reset"));
                assertEquals("handler_failed", reset.message().path("params").path("code").asText());
            }
        }
    }

    @Test
    void body_that_is_cut_short_or_too_large_is_no_body() {
        try (Workers workers = Workers.serving(hera -> hera.endpoint("POST /0/in").bodyBytesMax(1_000).handle(ctx -> ctx.text(ctx.body())))) {
            long cut = workers.peer.call("POST /0/in", 15_000, ",\"more\":true", new byte[10]);
            workers.peer.notify("reset", "{\"id\":" + cut + ",\"body\":\"call\",\"code\":\"gone\"}");
            assertEquals("handler_failed", failure(workers.peer.response(cut)));

            long large = workers.peer.call("POST /0/in", 15_000, ",\"more\":true", new byte[1_001]);
            assertEquals(413, result(workers.peer.response(large)).path("status").asInt());
        }
    }

    @Test
    void json_bombs_and_types_by_name_are_bad_bodies() {
        try (Workers workers = Workers.serving(hera -> hera.post("/0/in", ctx -> ctx.json(ctx.bodyAs(Map.class))))) {
            byte[] bomb = ("{\"a\":" + "[".repeat(100_000) + "]".repeat(100_000) + "}").getBytes(StandardCharsets.UTF_8);
            long id = workers.peer.nextId();
            workers.peer.send(workers.peer.callHead(id, "POST /0/in", 15_000, ""), bomb);
            assertEquals(400, result(workers.peer.response(id)).path("status").asInt());

            byte[] number = ("{\"a\":" + "9".repeat(100_000) + "}").getBytes(StandardCharsets.UTF_8);
            id = workers.peer.call("POST /0/in", 15_000, "", number);
            assertEquals(400, result(workers.peer.response(id)).path("status").asInt());

            byte[] typed = "{\"@class\":\"java.net.URL\",\"@type\":\"x\",\"val\":\"file:/\"}".getBytes(StandardCharsets.UTF_8);
            id = workers.peer.call("POST /0/in", 15_000, "", typed);
            assertEquals(new String(typed, StandardCharsets.UTF_8), text(workers.peer.response(id)));
        }
    }

    private static byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        new Random(7).nextBytes(bytes);
        return bytes;
    }
}

package dev.hera.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.CallOptions;
import dev.hera.Hera;
import dev.hera.HeraException;
import dev.hera.Result;
import dev.hera.testkit.FakeBroker;
import dev.hera.testkit.Until;
import dev.hera.testkit.Workers;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.Test;

/** Calls of a worker's own, and what a broker may say of them. */
class RemoteCallTest {
    private static Workers workers() {
        return Workers.serving(hera -> hera.get("/0/x", ctx -> ctx.text("x")), options -> {}, "remote_call");
    }

    private static CompletableFuture<Result> call(Hera hera, String endpoint, CallOptions options) {
        return CompletableFuture.supplyAsync(() -> hera.call(endpoint, options));
    }

    private static FakeBroker.Received request(FakeBroker.Peer peer) {
        return peer.until(each -> each.path("method").asText().equals("call"));
    }

    private static HeraException failure(CompletableFuture<Result> call) {
        return (HeraException) assertThrows(CompletionException.class, call::join).getCause();
    }

    @Test
    void call_outside_of_any_has_no_chain_and_its_answer_is_read() {
        try (Workers workers = workers()) {
            CompletableFuture<Result> call = call(workers.hera, "POST /0/users?a=1", CallOptions.json(List.of(1)).header("X-A", "b"));
            FakeBroker.Received request = request(workers.peer);
            JsonNode params = request.message().path("params");
            workers.peer.send(
                    "{\"jsonrpc\":\"2.0\",\"id\":" + request.message().path("id") + ",\"result\":{\"status\":201,\"headers\":[[\"x-b\",\"c\"]],\"meta\":{\"worker\":\"u/1/i\"}}}",
                    "{}".getBytes(java.nio.charset.StandardCharsets.UTF_8));

            assertEquals("POST /0/users?a=1", params.path("method").asText() + " " + params.path("target").asText());
            assertEquals("[[\"content-type\",\"application/json\"],[\"x-a\",\"b\"]]", params.path("headers").toString());
            assertTrue(!params.has("chain") && !params.has("caller") && !params.has("timeout_ms"), params.toString());
            Result result = call.join();
            assertEquals("201 c u/1/i {}", result.status() + " " + result.headers().first("x-b").orElse("") + " " + result.worker() + " " + result.body());
        }
    }

    @Test
    void answers_that_cannot_be_are_bad_replies() {
        try (Workers workers = workers()) {
            for (String result : List.of("5", "{}", "{\"status\":99,\"headers\":[]}", "{\"status\":200}", "{\"status\":200,\"headers\":[[\"a\"]]}", "null")) {
                CompletableFuture<Result> call = call(workers.hera, "GET /0/a", CallOptions.none());
                workers.peer.result(request(workers.peer).message().path("id").asLong(), result);
                assertEquals("bad_reply maybe", failure(call).code() + " " + failure(call).executed().orElse(""), result);
            }
        }
    }

    @Test
    void call_whose_broker_is_lost_may_have_run() {
        try (Workers workers = workers()) {
            CompletableFuture<Result> post = call(workers.hera, "POST /0/a", CallOptions.none());
            CompletableFuture<Result> get = call(workers.hera, "GET /0/a", CallOptions.none());
            request(workers.peer);
            request(workers.peer);
            workers.peer.close();

            assertEquals("broker_lost maybe", failure(post).code() + " " + failure(post).executed().orElse(""));
            // Idempotent, so it looked for another broker, and there is none.
            assertEquals("no_broker maybe", failure(get).code() + " " + failure(get).executed().orElse(""));
        }
    }

    @Test
    void body_that_cannot_be_read_cancels_its_call() {
        try (Workers workers = workers()) {
            InputStream broken = new InputStream() {
                @Override
                public int read() throws IOException {
                    throw new IOException("disk is gone");
                }
            };
            CompletableFuture<Result> call = call(workers.hera, "POST /0/a", CallOptions.stream(broken));

            FakeBroker.Received reset = workers.peer.until(each -> each.path("method").asText().matches("reset|cancel"));
            assertTrue(reset.message().path("params").path("remote").asBoolean());
            assertEquals("body_reset", failure(call).code());
        }
    }

    @Test
    void whatever_a_broker_says_about_calls_each_of_them_settles() {
        long seed = new Random().nextLong();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        ExecutorService threads = Executors.newCachedThreadPool();
        for (int round = 0; round < 20; round++) {
            try (Workers workers = workers()) {
                List<CompletableFuture<Void>> calls = new ArrayList<>();
                for (int i = 0; i < 8; i++) {
                    CallOptions options = options(random.nextInt(4));
                    boolean streamed = random.nextBoolean();
                    calls.add(CompletableFuture.runAsync(() -> settle(workers.hera, options, streamed), threads));
                }
                long last = 0;
                for (int i = 0; i < 8; i++) last = Math.max(last, request(workers.peer).message().path("id").asLong());
                try {
                    for (int n = 0; n < 60; n++) say(workers.peer, last - random.nextInt(9) + 1, random);
                } catch (java.io.UncheckedIOException closed) {
                    // It said too much that cannot be.
                }
                workers.peer.close();
                calls.forEach(CompletableFuture::join);
                Until.until("nothing is in flight", () -> workers.hera.inFlight() == 0);
            }
        }
        threads.shutdown();
    }

    private static CallOptions options(int kind) {
        return switch (kind) {
            case 0 -> CallOptions.none();
            case 1 -> CallOptions.json(List.of("a"));
            case 2 -> CallOptions.bytes(new byte[300_000]);
            default -> CallOptions.stream(new ByteArrayInputStream(new byte[700_000]));
        };
    }

    private static void settle(Hera hera, CallOptions options, boolean streamed) {
        try (Result result = hera.call("POST /0/a", options.bodyBytesMax(1_000))) {
            if (streamed) result.bodyStream().readAllBytes();
            else result.bodyBytes();
        } catch (HeraException | IOException failed) {
            // Failed is settled.
        }
    }

    private static void say(FakeBroker.Peer peer, long id, Random random) {
        String about = "{\"id\":" + id + ",\"remote\":true,\"body\":\"" + List.of("call", "reply", "x").get(random.nextInt(3)) + "\",\"code\":\"worker_lost\"";
        switch (random.nextInt(7)) {
            case 0, 1 -> peer.result(id, "{\"status\":" + List.of(200, 404, 99).get(random.nextInt(3)) + ",\"headers\":[],\"more\":" + random.nextBoolean() + "}");
            case 2 -> peer.send("{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"error\":{\"code\":-32052,\"message\":\"no\",\"data\":{\"code\":\"no_worker\",\"executed\":\"no\",\"status\":503}}}");
            case 3 -> peer.notify(List.of("end", "reset", "cancel").get(random.nextInt(3)), about + "}");
            case 4 -> peer.notify("credit", about + ",\"bytes\":" + List.of("1", "1000", "400000", "0", "\"x\"").get(random.nextInt(5)) + "}");
            case 5 -> peer.send("{\"jsonrpc\":\"2.0\",\"method\":\"chunk\",\"params\":" + about + "}}", new byte[List.of(0, 1, 2_000).get(random.nextInt(3))]);
            default -> peer.send("{\"jsonrpc\":\"2.0\",\"id\":" + id + ",\"error\":7}");
        }
    }
}

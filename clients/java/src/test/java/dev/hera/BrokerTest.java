package dev.hera;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.Folders;
import dev.hera.testkit.TestBroker;
import dev.hera.testkit.Until;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Workers on a real broker. */
class BrokerTest {
    record User(String name) {}

    static final class NotFound extends Exception {
        private static final long serialVersionUID = 1L;

        NotFound(String message) {
            super(message);
        }
    }

    private static TestBroker broker;
    private static String secret;

    @BeforeAll
    static void start() {
        broker = TestBroker.start().open();
        secret = broker.cli("key", "create", "--name", "java", "--serve", "/0/**", "--call", "* /0/**");
    }

    @AfterAll
    static void stop() {
        broker.close();
    }

    private static Hera worker() {
        return Hera.with(HeraConfig.builder().brokers(broker.url()).secret(secret).version("1.2.3").signals(false).build());
    }

    private static byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        new Random(11).nextBytes(bytes);
        return bytes;
    }

    @Test
    void surface_of_the_guide_does_what_it_says() {
        try (Hera hera = worker()) {
            hera.before(ctx -> ctx.header("x-served-by", "java"));
            hera.get("/0/users/{id}", ctx -> {
                if (ctx.pathParam("id").equals("0")) throw new NotFound("no user 0");
                ctx.json(Map.of("id", ctx.pathParam("id"), "q", ctx.queryParams("q"), "h", ctx.header("X-Mine").orElse("")));
            });
            hera.post("/0/users", ctx -> ctx.status(201).json(ctx.bodyAs(User.class)));
            hera.exception(NotFound.class, (e, ctx) -> ctx.status(404).json(Map.of("error", e.getMessage())));
            hera.connect();

            HttpResponse<String> got = broker.get("/0/users/a%20b?q=1&q=%C3%A9+x", "x-mine", "yes");
            assertEquals(200, got.statusCode());
            assertTrue(got.body().contains("\"id\":\"a b\"") && got.body().contains("\"q\":[\"1\",\"é x\"]") && got.body().contains("\"h\":\"yes\""), got.body());
            assertEquals("java", got.headers().firstValue("x-served-by").orElse(""));
            assertTrue(got.headers().firstValue("hera-worker").orElse("").startsWith("java/1.2.3/"));
            HttpResponse<String> made = broker.send("POST", "/0/users", BodyPublishers.ofString("{\"name\":\"ann\"}"));
            assertEquals(201, made.statusCode());
            assertEquals("{\"name\":\"ann\"}", made.body());
            HttpResponse<String> missing = broker.get("/0/users/0");
            assertEquals(404, missing.statusCode());
            assertEquals("{\"error\":\"no user 0\"}", missing.body());
            assertEquals(400, broker.send("POST", "/0/users", BodyPublishers.ofString("{name}")).statusCode());
            assertEquals(405, broker.send("DELETE", "/0/users", BodyPublishers.noBody()).statusCode());
            assertEquals(List.of(broker.id()), hera.brokers());
        }
    }

    @Test
    void bodies_of_any_size_go_both_ways() {
        byte[] large = bytes(5_000_000);
        try (Hera hera = worker()) {
            hera.endpoint("POST /0/echo").bodyBytesMax(100_000_000).handle(ctx -> {
                try (InputStream in = ctx.bodyStream()) {
                    in.transferTo(ctx.outputStream());
                }
            });
            hera.endpoint("POST /0/whole").bodyBytesMax(100_000_000).handle(ctx -> ctx.bytes(ctx.bodyBytes()));
            hera.get("/0/source", ctx -> ctx.stream(new ByteArrayInputStream(large)));
            hera.connect();

            for (String path : List.of("/0/echo", "/0/whole")) {
                HttpResponse<byte[]> echoed =
                        TestBroker.send(broker.http(), "POST", path, BodyPublishers.ofByteArray(large), BodyHandlers.ofByteArray());
                assertArrayEquals(large, echoed.body(), path);
            }
            HttpResponse<byte[]> source = TestBroker.send(broker.http(), "GET", "/0/source", BodyPublishers.noBody(), BodyHandlers.ofByteArray());
            assertArrayEquals(large, source.body());
            Until.until("no call is in flight", () -> hera.inFlight() == 0);
        }
    }

    @Test
    void caller_that_leaves_cancels_its_call() throws Exception {
        CountDownLatch started = new CountDownLatch(1);
        CompletableFuture<Boolean> cancelled = new CompletableFuture<>();
        try (Hera hera = worker()) {
            hera.get("/0/wait", ctx -> {
                started.countDown();
                try {
                    new CountDownLatch(1).await();
                } finally {
                    cancelled.complete(ctx.cancelled());
                }
            });
            hera.connect();
            try (java.net.Socket caller = new java.net.Socket("127.0.0.1", Integer.parseInt(broker.httpAddress().split(":")[1]))) {
                caller.getOutputStream().write("GET /0/wait HTTP/1.1\r\nhost: x\r\n\r\n".getBytes(java.nio.charset.StandardCharsets.US_ASCII));
                started.await();
            }

            assertTrue(cancelled.get());
        }
    }

    @Test
    void refused_key_and_refused_pattern_end_connect() {
        TestBroker own = TestBroker.start();
        String narrow = own.cli("key", "create", "--name", "narrow", "--serve", "/0/narrow/**");
        HeraConfig.Builder options = HeraConfig.builder().brokers(own.url()).signals(false);
        try (Hera hera = Hera.with(options.secret(narrow).build())) {
            hera.get("/0/wide", ctx -> ctx.text("no"));

            HeraException refused = assertThrows(HeraException.class, hera::connect);
            assertEquals("declaration_refused", refused.code());
            assertEquals("endpoint_forbidden", refused.endpoints().get(0).code());
        }
        own.cli("key", "revoke", "narrow");
        try (Hera hera = Hera.with(options.secret(narrow).build())) {
            assertEquals("unauthenticated", assertThrows(HeraException.class, hera::connect).code());
        } finally {
            own.close();
        }
        try (Hera hera = worker()) {
            assertEquals("bad_endpoint", assertThrows(HeraException.class, () -> hera.get("/0/{id}.json", ctx -> {})).code());
            hera.get("/0/{a}", ctx -> {});
            assertEquals("duplicate_endpoint", assertThrows(HeraException.class, () -> hera.get("/0/{b}", ctx -> {})).code());
        }
    }

    @Test
    void broker_that_comes_back_is_dialled_again() {
        TestBroker own = TestBroker.in(Folders.make("hera-again-"));
        own.open();
        int port = own.workersPort();
        try (Hera hera = Hera.with(HeraConfig.builder()
                .brokers(own.url())
                .secret(own.key("again"))
                .signals(false)
                .drainTimeout(Duration.ofSeconds(2))
                .build())) {
            hera.get("/0/hello", ctx -> ctx.text("hello"));
            hera.connect();
            own.kill();
            Until.until("it is lost", () -> hera.brokers().isEmpty());

            TestBroker back = TestBroker.in(own.folder(), "--workers", "127.0.0.1:" + port);
            Until.until("it is found", () -> hera.brokers().size() == 1);
            assertEquals("hello", back.get("/0/hello").body());
            back.close();
        } finally {
            own.close();
        }
    }

    // ---- remote calls

    @Test
    void handlers_call_other_services() {
        byte[] large = bytes(2_000_000);
        try (Hera hera = worker()) {
            hera.get("/0/inner/{id}", ctx -> ctx.header("x-inner", "1").json(Map.of(
                    "id", ctx.pathParam("id"),
                    "q", ctx.queryParam("q").orElse(""),
                    "request", ctx.requestId(),
                    "service", ctx.caller().service().orElse(""),
                    "header", ctx.header("x-mine").orElse(""))));
            hera.endpoint("POST /0/inner-echo").bodyBytesMax(100_000_000).handle(ctx -> {
                try (InputStream in = ctx.bodyStream()) {
                    in.transferTo(ctx.outputStream());
                }
            });
            hera.get("/0/missing", ctx -> {
                throw new HeraException(404, "no_such", "nothing");
            });
            hera.get("/0/outer", ctx -> {
                try (Result result = ctx.call("GET /0/inner/7?q=a%20b", CallOptions.none().header("X-Mine", "m"))) {
                    assertEquals("1", result.headers().first("x-inner").orElse(""));
                    assertTrue(result.worker().startsWith("java/1.2.3/"));
                    Map<?, ?> body = result.bodyAs(Map.class);
                    ctx.json(Map.of("same", body.get("request").equals(ctx.requestId()), "body", body));
                }
            });
            hera.get("/0/cycle", ctx -> ctx.text(ctx.call("GET /0/cycle").body()));
            hera.get("/0/echo", ctx -> {
                Result whole = ctx.call("POST /0/inner-echo", CallOptions.bytes(large));
                Result piecewise = ctx.call("POST /0/inner-echo", CallOptions.stream(new ByteArrayInputStream(large)));
                ctx.text(java.util.Arrays.equals(large, whole.bodyBytes()) + " " + java.util.Arrays.equals(large, piecewise.bodyStream().readAllBytes()));
            });
            hera.connect();

            String outer = broker.get("/0/outer").body();
            assertTrue(outer.contains("\"same\":true") && outer.contains("\"q\":\"a b\"") && outer.contains("\"service\":\"java\"") && outer.contains("\"header\":\"m\""), outer);
            assertEquals("true true", broker.get("/0/echo").body());
            assertEquals(508, broker.get("/0/cycle").statusCode());
            try (Result missing = hera.call("GET /0/missing")) {
                assertEquals(404, missing.status());
                assertTrue(missing.body().contains("no_such"));
            }
            HeraException none = assertThrows(HeraException.class, () -> hera.call("GET /0/nowhere"));
            assertEquals("not_found no 404", none.code() + " " + none.executed().orElse("") + " " + none.status().orElse(0));
            assertTrue(none.requestId().isPresent());
            HeraException cycle = assertThrows(HeraException.class, () -> hera.call("GET /0/wait-for-it", CallOptions.none().timeout(Duration.ofMillis(1))));
            assertEquals("no", cycle.executed().orElse(""));
            Until.until("nothing is in flight", () -> hera.inFlight() == 0);
        }
    }

    @Test
    void remote_call_without_an_answer_ends_at_its_deadline_and_cancels() {
        CompletableFuture<Boolean> cancelled = new CompletableFuture<>();
        try (Hera hera = worker()) {
            hera.get("/0/never", ctx -> {
                try {
                    new CountDownLatch(1).await();
                } finally {
                    cancelled.complete(ctx.cancelled());
                }
            });
            hera.connect();

            HeraException late = assertThrows(HeraException.class, () -> hera.call("GET /0/never", CallOptions.none().timeout(Duration.ofMillis(200))));
            assertEquals("deadline_exceeded maybe 504", late.code() + " " + late.executed().orElse("") + " " + late.status().orElse(0));
            assertTrue(cancelled.join());
        }
    }

    @Test
    void without_a_broker_there_is_no_call() {
        try (Hera hera = worker()) {
            HeraException none = assertThrows(HeraException.class, () -> hera.call("GET /0/x"));
            assertEquals("no_broker no", none.code() + " " + none.executed().orElse(""));
        }
    }
}

import dev.hera.CallOptions;
import dev.hera.Context;
import dev.hera.Hera;
import dev.hera.HeraConfig;
import dev.hera.HeraException;
import dev.hera.Result;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;

/** The worker of spec/scenarios, which lists its endpoints: {@code java Scenario.java}, with {@code HERA} and {@code SECRET} in its environment. */
public final class Scenario {
    private static final byte[] PIECE = new byte[1_000];

    private final AtomicLong started = new AtomicLong();
    private final AtomicLong finished = new AtomicLong();
    private final AtomicLong cancelled = new AtomicLong();

    private Scenario() {}

    public static void main(String[] arguments) {
        Hera hera = Hera.with(HeraConfig.builder().version("scenario").signals(false).build());
        Scenario scenario = new Scenario();
        scenario.serve(hera);
        scenario.serveCalls(hera);
        try {
            hera.connect();
        } catch (HeraException refused) {
            System.out.println("refused " + refused.code());
            System.exit(3);
        }
        // The JVM would end with 143 after a signal that it obeyed; the scenarios ask every language for 0.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            hera.close();
            Runtime.getRuntime().halt(0);
        }));
        System.out.println("ready");
        hera.join();
    }

    private void serve(Hera hera) {
        hera.get("/s/hello", ctx -> ctx.text("hello"));
        hera.post("/s/echo", ctx -> {
            ctx.header("content-type").ifPresent(type -> ctx.header("content-type", type));
            ctx.bytes(ctx.bodyBytes());
        });
        hera.get("/s/params/{id}", ctx -> {
            Map<String, Object> seen = new HashMap<>();
            seen.put("id", ctx.pathParam("id"));
            seen.put("q", ctx.queryParam("q").orElse(null));
            ctx.json(seen);
        });
        hera.get("/s/status/{code}", ctx -> {
            String code = ctx.pathParam("code");
            ctx.status(Integer.parseInt(code)).header("x-code", code).text("status");
        });
        hera.get("/s/throw", ctx -> {
            throw new IOException("secret text");
        });
        hera.get("/s/slow/{ms}", this::slow);
        hera.get("/s/seen", ctx -> ctx.json(Map.of("started", started.get(), "finished", finished.get(), "cancelled", cancelled.get())));
        hera.endpoint("POST /s/small").bodyBytesMax(10).handle(ctx -> ctx.text(Integer.toString(ctx.bodyBytes().length)));
        hera.endpoint("POST /s/count").bodyBytesMax(16 << 20).handle(ctx -> ctx.text(Long.toString(count(ctx.bodyStream()))));
        hera.get("/s/stream/{pieces}", ctx -> {
            OutputStream out = ctx.outputStream();
            for (int left = Integer.parseInt(ctx.pathParam("pieces")); left > 0; left--) {
                out.write(PIECE);
                out.flush();
            }
        });
        hera.get("/s/cut", ctx -> {
            ctx.outputStream().write(PIECE);
            ctx.outputStream().flush();
            throw new IOException("cut");
        });
        hera.get("/s/context", ctx -> {
            Map<String, Object> known = new HashMap<>();
            known.put("request_id", ctx.requestId());
            known.put("token", ctx.caller().token().orElse(null));
            known.put("service", ctx.caller().service().orElse(null));
            known.put("team", ctx.caller().labels().get("team"));
            known.put("trace", ctx.trace().map(trace -> trace.traceparent()).orElse(null));
            known.put("in_time", !ctx.remaining().isZero() && ctx.remaining().compareTo(Duration.ofSeconds(60)) <= 0);
            ctx.json(known);
        });
    }

    private void slow(Context ctx) throws InterruptedException {
        started.incrementAndGet();
        try {
            Thread.sleep(Long.parseLong(ctx.pathParam("ms")));
        } catch (InterruptedException cause) {
            cancelled.incrementAndGet();
            throw cause;
        }
        finished.incrementAndGet();
        ctx.text("slow");
    }

    private static long count(InputStream body) throws IOException {
        return body.transferTo(OutputStream.nullOutputStream());
    }

    private void serveCalls(Hera hera) {
        hera.get("/s/call", ctx -> {
            CallOptions options = ctx.header("x-timeout")
                    .map(ms -> CallOptions.none().timeout(Duration.ofMillis(Long.parseLong(ms))))
                    .orElse(CallOptions.none());
            try {
                Result result = ctx.call(ctx.header("x-call").orElseThrow(), options);
                ctx.json(Map.of("status", result.status(), "body", result.body()));
            } catch (HeraException failed) {
                ctx.json(Map.of("code", failed.code(), "executed", failed.executed().orElse(""), "status", failed.status().orElse(0)));
            }
        });
        hera.get("/s/parallel/{count}", ctx -> ctx.text(Integer.toString(parallel(ctx, Integer.parseInt(ctx.pathParam("count"))))));
        hera.endpoint("POST /s/pass").bodyBytesMax(16 << 20).handle(ctx -> {
            Result result = ctx.call("POST /s/count", CallOptions.stream(ctx.bodyStream()));
            ctx.status(result.status()).bytes(result.bodyBytes());
        });
        hera.get("/s/pull/{pieces}", ctx -> ctx.stream(ctx.call("GET /s/stream/" + ctx.pathParam("pieces")).bodyStream()));
        hera.get("/s/nest/{depth}", ctx -> {
            int depth = Integer.parseInt(ctx.pathParam("depth"));
            if (depth == 0) {
                ctx.text("bottom");
                return;
            }
            try {
                Result result = ctx.call("GET /s/nest/" + (depth - 1));
                ctx.status(result.status()).text(result.body());
            } catch (HeraException failed) {
                ctx.text(failed.code());
            }
        });
        hera.get("/s/loop", ctx -> {
            try {
                ctx.text(Integer.toString(ctx.call("GET /s/loop").status()));
            } catch (HeraException failed) {
                ctx.text(failed.code());
            }
        });
    }

    private static int parallel(Context ctx, int count) throws InterruptedException, ExecutionException {
        ExecutorService threads = Executors.newFixedThreadPool(count);
        try {
            List<Future<Integer>> answers = new ArrayList<>();
            for (int i = 0; i < count; i++) answers.add(threads.submit(() -> ctx.call("GET /s/hello").status()));
            int good = 0;
            for (Future<Integer> answer : answers) good += answer.get() == 200 ? 1 : 0;
            return good;
        } finally {
            threads.shutdownNow();
        }
    }
}

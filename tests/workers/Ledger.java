import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hera.CallOptions;
import dev.hera.Context;
import dev.hera.Handler;
import dev.hera.Hera;
import dev.hera.HeraConfig;
import dev.hera.HeraException;
import dev.hera.Result;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The Java twin of {@code crates/hera-ledger/src/bin/hera-ledger-worker.rs}, which lists the endpoints: {@code java Ledger.java PREFIX NAME}, with {@code
 * HERA}, {@code SECRET} and {@code RUNS_DIR} in its environment.
 */
public final class Ledger {
    /** Above what the tests have in flight on one connection, so that a hanging worker never sheds what it should hang on. */
    private static final int IN_FLIGHT_MAX = 4096;
    private static final List<String> METHODS = List.of("GET", "PUT", "DELETE", "POST", "PATCH");
    private static final List<String> WITH_BODY = List.of("PUT", "POST", "PATCH");
    private static final Pattern NONCE = Pattern.compile("n_[0-9a-f]{32}");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String name;
    private final String worker;
    private final FileChannel log;
    private final AtomicLong cancelled = new AtomicLong();

    private Ledger(String name) throws IOException {
        this.name = name;
        this.worker = name + "-" + ProcessHandle.current().pid();
        String folder = System.getenv().getOrDefault("RUNS_DIR", ".");
        log = FileChannel.open(Path.of(folder, "runs-" + worker + ".log"), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 2) {
            System.err.println("usage: java Ledger.java PREFIX NAME");
            System.exit(2);
        }
        HeraConfig config = HeraConfig.builder().version("ledger").threads(IN_FLIGHT_MAX).inFlight(IN_FLIGHT_MAX).signals(false).build();
        Hera hera = Hera.with(config);
        new Ledger(arguments[1]).serve(hera, arguments[0]);
        // The JVM would end with 143 after a signal that it obeyed; the tests ask every language for 0.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            hera.close();
            Runtime.getRuntime().halt(0);
        }));
        hera.connect();
        System.out.println("connected");
        hera.join();
    }

    private void serve(Hera hera, String prefix) {
        hera.before(ctx -> {
            String nonce = ctx.pathParams().get("nonce");
            // Of a chain of calls the innermost counts as run.
            boolean innermost = ctx.pathParams().getOrDefault("calls", "0").equals("0");
            if (nonce != null && innermost) note(nonce, ctx.method());
        });
        for (String method : METHODS) {
            hera.endpoint(method + " " + prefix + "/now/{nonce}").handle(ctx -> ctx.text(answer(ctx)));
            hera.endpoint(method + " " + prefix + "/slow/{nonce}").handle(this::later);
            hera.endpoint(method + " " + prefix + "/again/{nonce}").idempotent(true).handle(this::later);
            hera.endpoint(method + " " + prefix + "/stream/{nonce}").handle(this::stream);
            hera.endpoint(method + " " + prefix + "/deep/{calls}/{nonce}").handle(ctx -> deep(ctx, prefix));
            hera.endpoint(method + " " + prefix + "/hang/{nonce}").handle(hang());
        }
        hera.get(prefix + "/at/" + name + "/cancelled", ctx -> ctx.json(cancelled.get()));
    }

    /** One write of a whole line to a file that is only added to: a process that is killed leaves all of the line or none. */
    private void note(String nonce, String method) {
        long micros = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
        byte[] line = (nonce + " " + method + " " + micros + " " + worker + "\n").getBytes(StandardCharsets.US_ASCII);
        try {
            log.write(ByteBuffer.wrap(line));
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    /** What a call is answered: its nonce, unless its body was that of another call. */
    private String answer(Context ctx) throws IOException {
        String nonce = ctx.pathParam("nonce");
        String body = new String(ctx.bodyBytes(), StandardCharsets.ISO_8859_1);
        Matcher found = NONCE.matcher(body);
        boolean fits = WITH_BODY.contains(ctx.method()) ? found.find() && found.group().equals(nonce) : body.isEmpty();
        return JSON.writeValueAsString(Map.of("nonce", fits ? nonce : "not in " + body.length() + " bytes of body", "worker", name));
    }

    private void later(Context ctx) throws IOException, InterruptedException {
        Thread.sleep(number(ctx, "ms"));
        ctx.text(answer(ctx));
    }

    private void stream(Context ctx) throws IOException, InterruptedException {
        byte[] text = answer(ctx).getBytes(StandardCharsets.UTF_8);
        int pieces = (int) Math.max(1, number(ctx, "pieces"));
        int step = (text.length + pieces - 1) / pieces;
        OutputStream out = ctx.outputStream();
        for (int from = 0; from < text.length; from += step) {
            out.write(text, from, Math.min(step, text.length - from));
            out.flush();
            Thread.sleep(number(ctx, "ms"));
        }
    }

    /** Answers at the bottom; above it, passes on what the call below is answered, or how the bus failed. */
    private void deep(Context ctx, String prefix) throws IOException {
        int below = Integer.parseInt(ctx.pathParam("calls")) - 1;
        if (below < 0) {
            ctx.text(answer(ctx));
            return;
        }
        CallOptions options = CallOptions.bytes(ctx.bodyBytes()).header("content-type", "application/json");
        try (Result result = ctx.call(ctx.method() + " " + prefix + "/deep/" + below + "/" + ctx.pathParam("nonce"), options)) {
            for (String header : List.of("content-type", "x-executed")) {
                result.headers().first(header).ifPresent(value -> ctx.header(header, value));
            }
            ctx.status(result.status()).bytes(result.bodyBytes());
        } catch (HeraException failed) {
            String executed = failed.executed().orElseThrow(() -> failed);
            ctx.header("x-executed", executed).header("content-type", "application/problem+json");
            ctx.status(Math.max(failed.status().orElse(500), 400)).bytes(JSON.writeValueAsBytes(Map.of("code", failed.code())));
        }
    }

    private Handler hang() {
        return ctx -> {
            try {
                new CountDownLatch(1).await();
            } finally {
                cancelled.incrementAndGet();
            }
        };
    }

    private static long number(Context ctx, String parameter) {
        return Long.parseLong(ctx.queryParam(parameter).orElse("0"));
    }
}

import dev.hera.Context;
import dev.hera.Endpoint;
import dev.hera.Hera;
import dev.hera.HeraConfig;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;

/** The Java worker of the system tests: {@code java Worker.java PREFIX NAME}. It serves the endpoints that {@code src/bin/worker.rs} lists. */
public final class Worker {
    private static final long MIB = 1024 * 1024;
    private static final int LOOK_MS = 20;
    private static final int BLOCK_BYTES = 64 * 1024;

    private final String prefix;
    private final String name;
    private final List<Map<String, String>> events = new CopyOnWriteArrayList<>();
    private final Map<String, Integer> runs = new ConcurrentHashMap<>();
    private volatile boolean burning;

    private Worker(String prefix, String name) {
        this.prefix = prefix;
        this.name = name;
    }

    public static void main(String[] arguments) {
        if (arguments.length != 2) {
            System.err.println("usage: java Worker.java PREFIX NAME");
            System.exit(2);
        }
        Hera hera = Hera.with(HeraConfig.builder().version("test").signals(false).inFlight(1_024).threads(1_024).build());
        Worker worker = new Worker(arguments[0], arguments[1]);
        worker.serveSmall(hera);
        worker.serveBodies(hera);
        worker.serveFailures(hera);
        worker.serveControls(hera);
        // The JVM would end with 143 after a signal that it obeyed; the tests ask every language for 0.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            hera.close();
            Runtime.getRuntime().halt(0);
        }));
        hera.connect();
        System.out.println("connected");
        hera.join();
    }

    private Map<String, Object> who() {
        return Map.of("pid", ProcessHandle.current().pid(), "name", name);
    }

    /** Notes what became of a call. */
    private void event(String what, Context ctx, Object detail) {
        events.add(Map.of("what", what, "id", ctx.requestId(), "detail", String.valueOf(detail)));
    }

    private void serveSmall(Hera hera) {
        hera.get(prefix + "/pid", ctx -> ctx.json(who()));
        hera.get(prefix + "/sleep/{ms}", ctx -> {
            Thread.sleep(Long.parseLong(ctx.pathParam("ms")));
            ctx.json(who());
        });
        hera.endpoint("GET " + prefix + "/hold").timeout(Duration.ofSeconds(60)).handle(ctx -> {
            String gate = System.getenv("GATE");
            while (gate != null && !Files.exists(Path.of(gate))) Thread.sleep(LOOK_MS);
            ctx.json(who());
        });
        hera.post(prefix + "/run/{nonce}", ctx -> {
            String nonce = ctx.pathParam("nonce");
            runs.merge(nonce, 1, Integer::sum);
            String file = System.getenv("RUNS");
            // One write of one line: appended whole, whoever else writes to the file, and it outlives a kill.
            if (file != null) Files.writeString(Path.of(file), nonce + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            Thread.sleep(Long.parseLong(ctx.queryParam("ms").orElse("0")));
            ctx.json(who());
        });
    }

    private static Endpoint large(Hera hera, String endpoint) {
        return hera.endpoint(endpoint).bodyBytesMax(1024 * MIB).timeout(Duration.ofSeconds(300));
    }

    private void serveBodies(Hera hera) {
        hera.endpoint("POST " + prefix + "/echo").bodyBytesMax(8 * MIB).handle(ctx -> {
            ctx.header("content-type", ctx.header("content-type").orElse("application/octet-stream"));
            ctx.bytes(ctx.bodyBytes());
        });
        large(hera, "POST " + prefix + "/stream").handle(this::stream);
        large(hera, "POST " + prefix + "/upload").handle(this::upload);
        large(hera, "GET " + prefix + "/download/{bytes}").handle(this::download);
    }

    private void stream(Context ctx) throws IOException {
        InputStream in = ctx.bodyStream();
        OutputStream out = ctx.outputStream();
        byte[] piece = new byte[BLOCK_BYTES];
        while (true) {
            int count;
            try {
                count = in.read(piece);
            } catch (IOException cut) {
                event("stream_cut", ctx, cut.getMessage());
                throw cut;
            }
            if (count < 0) break;
            try {
                out.write(piece, 0, count);
                out.flush();
            } catch (IOException unwanted) {
                event("stream_unwanted", ctx, "");
                throw unwanted;
            }
        }
        event("stream_end", ctx, "");
    }

    private void upload(Context ctx) throws Exception {
        long rate = Long.parseLong(ctx.queryParam("rate").orElse("0"));
        MessageDigest hash = MessageDigest.getInstance("SHA-256");
        long begun = System.nanoTime();
        long bytes = 0;
        byte[] piece = new byte[BLOCK_BYTES];
        event("upload_began", ctx, "");
        try (InputStream in = ctx.bodyStream()) {
            for (int count = in.read(piece); count >= 0; count = in.read(piece)) {
                bytes += count;
                hash.update(piece, 0, count);
                long early = rate > 0 ? bytes * 1_000 / rate - (System.nanoTime() - begun) / 1_000_000 : 0;
                if (early > 1) Thread.sleep(early);
            }
        } catch (IOException cut) {
            event("upload_cut", ctx, cut.getMessage());
            throw cut;
        }
        event("upload_end", ctx, bytes);
        ctx.json(Map.of("bytes", bytes, "sha256", HexFormat.of().formatHex(hash.digest())));
    }

    private void download(Context ctx) throws IOException {
        long bytes = Long.parseLong(ctx.pathParam("bytes"));
        if (ctx.queryParam("length").isPresent()) ctx.header("content-length", Long.toString(bytes));
        ctx.header("content-type", "application/octet-stream");
        OutputStream out = ctx.outputStream();
        for (long from = 0; from < bytes; from += BLOCK_BYTES) {
            try {
                out.write(block(from / BLOCK_BYTES), 0, (int) Math.min(BLOCK_BYTES, bytes - from));
                out.flush();
            } catch (IOException unwanted) {
                event("download_cut", ctx, from);
                throw unwanted;
            }
        }
        event("download_end", ctx, bytes);
    }

    /** Block {@code k} of the pattern; {@code pattern.rs} tells its rule. */
    private static byte[] block(long k) {
        byte[] block = new byte[BLOCK_BYTES];
        for (int j = 0; j < BLOCK_BYTES; j++) block[j] = (byte) (131 * j + (j >> 8));
        for (int i = 0; i < 8; i++) block[i] = (byte) (k >>> (56 - 8 * i));
        return block;
    }

    private void serveFailures(Hera hera) {
        hera.get(prefix + "/throw", ctx -> {
            throw new IOException("the handler broke on purpose for " + ctx.requestId());
        });
        hera.endpoint("GET " + prefix + "/never").timeout(Duration.ofSeconds(1)).handle(this::never);
        hera.endpoint("GET " + prefix + "/forever").timeout(Duration.ofSeconds(60)).handle(this::never);
    }

    private void never(Context ctx) throws InterruptedException {
        event("began", ctx, "");
        try {
            new CountDownLatch(1).await();
        } finally {
            event("cancelled", ctx, ctx.remaining().isZero() ? "past_deadline" : "cancelled");
        }
    }

    private void serveControls(Hera hera) {
        String at = prefix + "/at/" + name;
        hera.get(at + "/state", ctx -> ctx.json(Map.of("pid", ProcessHandle.current().pid(), "name", name, "events", events, "runs", runs)));
        hera.post(at + "/burn/{on}", ctx -> {
            burning = ctx.pathParam("on").equals("1");
            if (burning) {
                Thread burner = new Thread(() -> {
                    while (burning) Thread.onSpinWait();
                });
                burner.setDaemon(true);
                burner.start();
            }
            ctx.status(200).bytes(StandardCharsets.UTF_8.encode("").array());
        });
    }
}

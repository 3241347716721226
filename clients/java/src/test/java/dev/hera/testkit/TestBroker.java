package dev.hera.testkit;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A real broker as a process, on free ports, ready when it is here; killed when it is closed, its log shown when it did not start. */
public final class TestBroker implements AutoCloseable {
    private static final Path ROOT = Path.of("../..").toAbsolutePath().normalize();
    private static final HttpClient CALLER = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    private final Path folder;
    private final List<String> arguments;
    private final Map<String, String> said = new HashMap<>();
    private Process process;

    private TestBroker(Path folder, List<String> arguments) {
        this.folder = folder;
        this.arguments = arguments;
    }

    public static TestBroker start(String... arguments) {
        return in(Folders.make("hera-broker-"), arguments);
    }

    /** Starts one on the data of this folder. */
    public static TestBroker in(Path folder, String... arguments) {
        TestBroker broker = new TestBroker(folder, List.of(arguments));
        broker.up();
        return broker;
    }

    /** The binary under test. */
    public static Path binary() {
        String given = System.getenv("HERA_BIN");
        Path binary = given == null ? ROOT.resolve("target/debug/hera") : Path.of(given);
        if (!Files.isExecutable(binary)) throw new IllegalStateException(binary + " is missing: cargo build -p hera-cli");
        return binary;
    }

    public static Path root() {
        return ROOT;
    }

    /** Starts it, again or for the first time, with the data that it has; ports that were free may be others now. */
    public void up() {
        List<String> command = new ArrayList<>(List.of(binary().toString(), "broker", "--data-dir", folder.resolve("data").toString()));
        for (String door : List.of("--http", "--workers", "--admin")) {
            if (!arguments.contains(door)) command.addAll(List.of(door, "127.0.0.1:0"));
        }
        command.addAll(arguments);
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(folder.resolve("stderr.log").toFile());
        builder.environment().keySet().removeIf(name -> name.startsWith("HERA") || name.startsWith("SECRET"));
        try {
            process = builder.start();
            BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
            String ready = out.readLine();
            if (ready == null) throw new IllegalStateException("broker did not start: " + Files.readString(folder.resolve("stderr.log")));
            said.clear();
            for (String pair : ready.split(" ")) {
                int equals = pair.indexOf('=');
                if (equals > 0) said.put(pair.substring(0, equals), pair.substring(equals + 1));
            }
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    public String id() {
        return said.get("id");
    }

    public String http() {
        return "http://" + said.get("http");
    }

    public String httpAddress() {
        return said.get("http");
    }

    public String workers() {
        return said.get("workers");
    }

    public int workersPort() {
        return Integer.parseInt(workers().substring(workers().lastIndexOf(':') + 1));
    }

    public String url() {
        return "hera://" + workers();
    }

    public Path folder() {
        return folder;
    }

    /** Runs the command line on this broker, and gives what it printed. */
    public String cli(String... command) {
        List<String> all = new ArrayList<>(List.of(binary().toString()));
        all.addAll(Arrays.asList(command));
        all.addAll(List.of("--admin", said.get("admin"), "--data-dir", folder.resolve("data").toString()));
        return run(all);
    }

    /** Runs a command to its end, and gives what it printed. */
    public static String run(List<String> command) {
        try {
            Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            if (process.waitFor() != 0) throw new IllegalStateException(command + " ended with " + process.exitValue() + ": " + printed);
            return printed;
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }

    /** A key that may serve everything under {@code /0}. */
    public String key(String name) {
        return cli("key", "create", "--name", name, "--serve", "/0/**");
    }

    /** Callers need no token from now on. */
    public TestBroker open() {
        cli("token", "create", "--anonymous", "--allow", "* /0/**");
        return this;
    }

    public HttpResponse<String> get(String path, String... headers) {
        return send("GET", path, HttpRequest.BodyPublishers.noBody(), headers);
    }

    public HttpResponse<String> send(String method, String path, HttpRequest.BodyPublisher body, String... headers) {
        return send(http(), method, path, body, HttpResponse.BodyHandlers.ofString(), headers);
    }

    /** Calls whoever is at {@code base}. */
    public static <T> HttpResponse<T> send(
            String base, String method, String path, HttpRequest.BodyPublisher body, HttpResponse.BodyHandler<T> as, String... headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + path)).method(method, body);
        for (int i = 0; i < headers.length; i += 2) request.header(headers[i], headers[i + 1]);
        try {
            return CALLER.send(request.build(), as);
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }

    public static HttpClient caller() {
        return CALLER;
    }

    public boolean runs() {
        return process.isAlive();
    }

    /** Sends a signal, such as {@code STOP}. */
    public void signal(String name) {
        run(List.of("kill", "-s", name, Long.toString(process.pid())));
    }

    /** SIGTERM, and waits for its end. */
    public void drain() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(60, TimeUnit.SECONDS)) throw new IllegalStateException("broker does not end");
    }

    /** SIGKILL, and waits for its end. */
    public void kill() {
        process.destroyForcibly();
        try {
            process.waitFor();
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }

    @Override
    public void close() {
        kill();
        Folders.remove(folder);
    }
}

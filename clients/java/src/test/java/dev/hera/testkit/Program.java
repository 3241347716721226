package dev.hera.testkit;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/** A worker as a process of its own, run from its source. */
public final class Program implements AutoCloseable {
    private final Process process;
    private final StringBuffer said = new StringBuffer();

    private Program(Process process) {
        this.process = process;
        Thread reader = new Thread(this::read);
        reader.setDaemon(true);
        reader.start();
    }

    /** Runs one source file on the libraries of this test, as a worker of this broker. */
    public static Program source(String file, TestBroker broker, String... options) {
        List<String> command = new java.util.ArrayList<>(List.of(java(), "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path")));
        command.addAll(List.of(options));
        command.add(file);
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("HERA", broker.url());
        builder.environment().put("SECRET", broker.key("program"));
        try {
            return new Program(builder.start());
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }

    /** The Java that tests programs: {@code HERA_JAVA}, else that of the tests. */
    private static String java() {
        return Optional.ofNullable(System.getenv("HERA_JAVA")).orElse(System.getProperty("java.home") + "/bin/java");
    }

    /** Compiles one class, and says what does not. */
    public static void compile(String name, String source) {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        JavaFileObject file = new SimpleJavaFileObject(URI.create("string:///" + name + ".java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreErrors) {
                return source;
            }
        };
        java.io.StringWriter problems = new java.io.StringWriter();
        List<String> options = List.of("-d", Folders.make("hera-pieces-").toString(), "-cp", System.getProperty("java.class.path"), "-proc:none");
        boolean compiled = compiler.getTask(problems, null, null, options, null, List.of(file)).call();
        if (!compiled) throw new AssertionError(problems + "\n" + source);
    }

    private void read() {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) said.append(line).append('\n');
        } catch (IOException ended) {
            // What it said is here.
        }
    }

    public String said() {
        return said.toString();
    }

    public void waitFor(String words) {
        Until.until("it says " + words, () -> {
            if (!process.isAlive() && !said().contains(words)) throw new IllegalStateException("it ended: " + said());
            return said().contains(words);
        });
    }

    /** SIGTERM; what it says afterwards is heard, which Java's own {@code destroy} would put an end to. */
    public void terminate() {
        TestBroker.run(List.of("kill", "-s", "TERM", Long.toString(process.pid())));
    }

    public int exitCode() {
        try {
            if (!process.waitFor(60, TimeUnit.SECONDS)) throw new AssertionError("it does not end: " + said());
            return process.exitValue();
        } catch (InterruptedException cause) {
            throw new IllegalStateException(cause);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}

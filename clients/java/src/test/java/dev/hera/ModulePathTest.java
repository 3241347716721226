package dev.hera;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.FakeBroker;
import dev.hera.testkit.Folders;
import dev.hera.testkit.TestBroker;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A modular application: Jackson and SLF4J are modules, Curator and ZooKeeper stay on the class path. */
class ModulePathTest {
    private static final String MAIN = """
            package app;
            import dev.hera.*;
            public class Main {
                public static void main(String[] arguments) throws Exception {
                    Hera hera = Hera.with(HeraConfig.builder().brokers(arguments[0]).secret(arguments[1]).signals(false).build());
                    hera.get("/0/x", ctx -> ctx.text("x"));
                    new Thread(() -> {
                        try {
                            Thread.sleep(Long.parseLong(arguments[2]));
                        } catch (InterruptedException never) {
                        }
                        hera.close();
                    }).start();
                    try {
                        hera.connect();
                    } catch (HeraException e) {
                        System.out.println(Hera.class.getModule() + " ended: " + e.code());
                    }
                }
            }
            """;

    private static String jars(boolean modular) {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(jar -> !jar.contains("test-classes"))
                .filter(jar -> modular == (jar.contains("jackson") || jar.contains("slf4j-api") || jar.endsWith("target/classes")))
                .collect(Collectors.joining(File.pathSeparator));
    }

    private static Path application() throws IOException {
        Path folder = Folders.make("hera-module-");
        Files.createDirectories(folder.resolve("app"));
        Files.writeString(folder.resolve("module-info.java"), "module app { requires dev.hera.client; }");
        Files.writeString(folder.resolve("app/Main.java"), MAIN);
        int code = ToolProvider.findFirst("javac").orElseThrow().run(
                System.out, System.err, "-d", folder.resolve("out").toString(), "-p", jars(true),
                folder.resolve("module-info.java").toString(), folder.resolve("app/Main.java").toString());
        assertTrue(code == 0, "javac ended with " + code);
        return folder.resolve("out");
    }

    private static String run(Path application, boolean withClassPath, String brokers) {
        List<String> command = new ArrayList<>(List.of(
                System.getProperty("java.home") + "/bin/java", "-p", application + File.pathSeparator + jars(true)));
        if (withClassPath) command.addAll(List.of("-cp", jars(false)));
        command.addAll(List.of("-m", "app/app.Main", brokers, FakeBroker.SECRET, "1500"));
        return TestBroker.run(command);
    }

    @Test
    void module_finds_curator_on_the_class_path_and_says_where_it_is_missing() throws IOException {
        Path application = application();

        assertTrue(run(application, true, "zk://127.0.0.1:1/x").contains("module dev.hera.client ended: closed"));
        assertTrue(run(application, false, "hera://127.0.0.1:1").contains("module dev.hera.client ended: closed"));
        assertTrue(run(application, false, "zk://127.0.0.1:1").contains("module dev.hera.client ended: bad_option"));
    }
}

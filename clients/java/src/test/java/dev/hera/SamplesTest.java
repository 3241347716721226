package dev.hera;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hera.testkit.Program;
import dev.hera.testkit.TestBroker;
import dev.hera.testkit.Until;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** The samples, and the program of the guide, as their readers would run them. */
class SamplesTest {
    private static final Path GUIDE = TestBroker.root().resolve("docs/guide/java.md");

    @Test
    void hello_serves_and_drains_on_sigterm() {
        try (TestBroker broker = TestBroker.start().open(); Program hello = Program.source("samples/hello/Hello.java", broker)) {
            hello.waitFor("connected to hera");

            var answer = broker.get("/0/hello/J%C3%BCrgen");
            assertEquals("{\"hello\":\"Jürgen\"}", answer.body());
            assertEquals("java", answer.headers().firstValue("x-served-by").orElse(""));
            hello.terminate();
            // What a JVM says of a signal that it obeyed.
            assertEquals(143, hello.exitCode());
            Until.until("it is gone", () -> broker.get("/0/hello/x").statusCode() == 503);
        }
    }

    @Test
    void call_that_runs_at_sigterm_is_finished() {
        try (TestBroker broker = TestBroker.start().open(); Program users = Program.source("src/test/programs/Slow.java", broker)) {
            users.waitFor("connected to hera");
            CompletableFuture<String> answer = CompletableFuture.supplyAsync(() -> broker.get("/0/slow").body());
            users.waitFor("began");
            users.terminate();
            assertEquals(143, users.exitCode());
            assertEquals("done", answer.join());
            Until.until("its last word is here", () -> users.said().contains("ended"));
        }
    }

    @Test
    void database_keeps_what_it_was_given() {
        try (TestBroker broker = TestBroker.start().open(); Program users = Program.source("samples/database/Users.java", broker)) {
            users.waitFor("connected to hera");

            assertEquals("[]", broker.get("/0/users").body());
            var added = broker.send("POST", "/0/users", BodyPublishers.ofString("{\"name\":\"ann\"}"));
            assertEquals("201 {\"id\":1,\"name\":\"ann\"}", added.statusCode() + " " + added.body());
            assertEquals(409, broker.send("POST", "/0/users", BodyPublishers.ofString("{\"name\":\"ann\"}")).statusCode());
            assertEquals(204, broker.send("PUT", "/0/users/1", BodyPublishers.ofString("{\"name\":\"eve\"}")).statusCode());
            assertEquals("{\"id\":1,\"name\":\"eve\"}", broker.get("/0/users/1").body());
            assertEquals(404, broker.get("/0/users/2").statusCode());
            assertEquals(400, broker.get("/0/users/x").statusCode());
        }
    }

    @Test
    void program_of_the_guide_and_of_the_first_page_is_the_sample() throws IOException {
        String sample = Files.readString(Path.of("samples/hello/Hello.java"));

        for (Path page : List.of(GUIDE, TestBroker.root().resolve("README.md"), Path.of("README.md"))) {
            String text = Files.readString(page);
            int begin = text.indexOf("```java\n") + "```java\n".length();
            assertEquals(sample, text.substring(begin, text.indexOf("```", begin)), page.toString());
        }
    }

    @Test
    void pieces_of_the_guide_compile() throws IOException {
        String text = Files.readString(GUIDE);
        int from = text.indexOf("```java\n") + 8;
        StringBuilder pieces = new StringBuilder();
        int number = 0;
        for (int begin = text.indexOf("```java\n", from); begin >= 0; begin = text.indexOf("```java\n", begin + 1)) {
            String piece = text.substring(begin + 8, text.indexOf("```", begin + 8));
            pieces.append("    static void piece").append(number++).append("(Hera hera) throws Exception {\n").append(piece).append("    }\n");
        }
        assertTrue(number >= 4, number + " pieces");

        Program.compile(
                "Pieces",
                "import dev.hera.*;\nimport java.io.*;\nimport java.time.*;\nimport java.util.*;\nimport java.util.concurrent.*;\n"
                        + "public class Pieces {\n    record User(String name) {}\n    static class NotFound extends Exception {}\n"
                        + "    static CompletionStage<String> ask(String id) { return CompletableFuture.completedFuture(id); }\n" + pieces + "}\n");
    }
}

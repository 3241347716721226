package dev.hera;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.hera.testkit.TestBroker;
import java.net.http.HttpRequest;
import java.util.Map;
import org.junit.jupiter.api.Test;

class HeraTest {
    record User(String name) {}

    @Test
    void hello() {
        try (TestBroker broker = TestBroker.start().open();
                Hera hera = Hera.with(HeraConfig.builder().brokers(broker.url()).secret(broker.key("hello")).build())) {
            hera.before(ctx -> ctx.header("x-served-by", "java"));
            hera.get("/0/users/{id}", ctx -> ctx.json(Map.of("id", ctx.pathParam("id"))));
            hera.post("/0/users", ctx -> ctx.status(201).json(ctx.bodyAs(User.class)));
            hera.connect();

            var got = broker.get("/0/users/a%20b");
            assertEquals(200, got.statusCode());
            assertEquals("{\"id\":\"a b\"}", got.body());
            assertEquals("java", got.headers().firstValue("x-served-by").orElse(""));
            var made = broker.send("POST", "/0/users", HttpRequest.BodyPublishers.ofString("{\"name\":\"ann\"}"));
            assertEquals(201, made.statusCode());
            assertEquals("{\"name\":\"ann\"}", made.body());
        }
    }
}

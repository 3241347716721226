import dev.hera.Hera;
import java.util.Map;

public class Hello {
    public static void main(String[] args) {
        try (Hera hera = Hera.fromEnvironment()) { // HERA, SECRET
            hera.before(ctx -> ctx.header("x-served-by", "java"));

            hera.get("/0/hello/{name}", ctx -> ctx.json(Map.of("hello", ctx.pathParam("name"))));

            hera.exception(IllegalStateException.class, (e, ctx) -> ctx.status(500).json(Map.of("error", "sorry")));

            hera.connect(); // returns when the first broker accepted
            System.out.println("connected to hera");
            hera.join();
        }
    }
}

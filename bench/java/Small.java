import com.sun.net.httpserver.HttpServer;
import dev.hera.Hera;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** GET /0/small answers 150 bytes of JSON: as a worker (HERA, SECRET), or on the JDK's own HTTP server, `Small.java PORT`. */
public class Small {
    private static final byte[] JSON =
            "{\"id\":4711,\"name\":\"Ada Lovelace\",\"city\":\"London\",\"tags\":[\"mathematics\",\"engines\",\"notes\"],\"score\":0.9731,\"active\":true,\"since\":\"1843-09-01T00:00:00Z\"}   "
                    .getBytes(StandardCharsets.UTF_8);

    public static void main(String[] args) throws IOException {
        if (args.length == 0) serve();
        else alone(Integer.parseInt(args[0]));
    }

    private static void serve() {
        Hera hera = Hera.fromEnvironment();
        hera.get("/0/small", ctx -> ctx.header("content-type", "application/json").bytes(JSON));
        hera.connect();
    }

    private static void alone(int port) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 1024);
        server.createContext("/0/small", exchange -> {
            exchange.getResponseHeaders().set("content-type", "application/json");
            exchange.sendResponseHeaders(200, JSON.length);
            exchange.getResponseBody().write(JSON);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(256));
        server.start();
    }
}

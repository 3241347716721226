package dev.hera;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.hera.testkit.Folders;
import dev.hera.testkit.TestBroker;
import dev.hera.testkit.Until;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.Test;

/** Workers on a real broker that speaks TLS. */
class TlsTest {
    private static final Path CERTIFICATES = TestBroker.root().resolve("crates/hera-client/tests/certificates");

    private static TestBroker broker() throws IOException {
        Path folder = Folders.make("hera-tls-");
        Path config = folder.resolve("hera.toml");
        Files.writeString(config, "[tls]\ncert = \"" + CERTIFICATES.resolve("broker.pem") + "\"\nkey = \"" + CERTIFICATES.resolve("broker.key") + "\"\n");
        return TestBroker.in(folder, "--config", config.toString()).open();
    }

    private static HttpClient caller() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(CERTIFICATES.resolve("ca.pem"))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).sslContext(context).build();
    }

    @Test
    void worker_serves_over_tls_bodies_of_any_size() throws Exception {
        byte[] large = new byte[3_000_000];
        new Random(3).nextBytes(large);
        try (TestBroker broker = broker();
                Hera hera = Hera.with(HeraConfig.builder()
                        .brokers("heras://localhost:" + broker.workersPort())
                        .secret(broker.key("tls"))
                        .caFile(CERTIFICATES.resolve("ca.pem"))
                        .signals(false)
                        .build())) {
            hera.get("/0/hello", ctx -> ctx.text("hello"));
            hera.endpoint("POST /0/echo").bodyBytesMax(100_000_000).handle(ctx -> {
                try (InputStream in = ctx.bodyStream()) {
                    in.transferTo(ctx.outputStream());
                }
            });
            hera.connect();

            String base = broker.http().replace("http://127.0.0.1", "https://localhost");
            HttpClient caller = caller();
            for (int i = 0; i < 50; i++) {
                HttpResponse<String> hello =
                        caller.send(HttpRequest.newBuilder(URI.create(base + "/0/hello")).build(), HttpResponse.BodyHandlers.ofString());
                assertEquals("hello", hello.body());
            }
            HttpRequest echo = HttpRequest.newBuilder(URI.create(base + "/0/echo")).POST(HttpRequest.BodyPublishers.ofByteArray(large)).build();
            assertArrayEquals(large, caller.send(echo, HttpResponse.BodyHandlers.ofByteArray()).body());
        }
    }

    @Test
    void certificate_that_is_not_trusted_or_for_another_host_is_no_broker() throws Exception {
        try (TestBroker broker = broker()) {
            HeraConfig.Builder options = HeraConfig.builder().secret(broker.key("tls")).signals(false).drainTimeout(Duration.ofSeconds(1));
            Hera untrusting = Hera.with(options.brokers("heras://localhost:" + broker.workersPort()).build());
            options.caFile(CERTIFICATES.resolve("ca.pem"));
            Hera trusting = Hera.with(options.build());
            CompletableFuture<Void> refused = CompletableFuture.runAsync(untrusting::connect);

            trusting.connect();
            assertFalse(refused.isDone());
            assertEquals(0, untrusting.brokers().size());
            trusting.close();
            untrusting.close();
            Until.until("connect ends", refused::isCompletedExceptionally);
        }
    }
}

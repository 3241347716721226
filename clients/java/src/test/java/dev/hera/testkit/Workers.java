package dev.hera.testkit;

import dev.hera.Hera;
import dev.hera.HeraConfig;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** A worker on a fake broker. */
public final class Workers implements AutoCloseable {
    public final FakeBroker broker;
    public final Hera hera;
    public final FakeBroker.Peer peer;

    private Workers(FakeBroker broker, Hera hera, FakeBroker.Peer peer) {
        this.broker = broker;
        this.hera = hera;
        this.peer = peer;
    }

    public static HeraConfig.Builder config(FakeBroker broker) {
        return HeraConfig.builder().brokers(broker.url()).secret(FakeBroker.SECRET).signals(false).drainTimeout(Duration.ofSeconds(2));
    }

    /** Serves what {@code define} says; live when it is here. */
    public static Workers serving(Consumer<Hera> define) {
        return serving(define, options -> {});
    }

    public static Workers serving(Consumer<Hera> define, Consumer<HeraConfig.Builder> options, String... features) {
        FakeBroker broker = new FakeBroker();
        HeraConfig.Builder config = config(broker);
        options.accept(config);
        Hera hera = Hera.with(config.build());
        define.accept(hera);
        CompletableFuture<Void> connected = CompletableFuture.runAsync(hera::connect);
        FakeBroker.Peer peer = broker.worker(features);
        connected.join();
        return new Workers(broker, hera, peer);
    }

    @Override
    public void close() {
        peer.close();
        broker.close();
        hera.close();
    }
}

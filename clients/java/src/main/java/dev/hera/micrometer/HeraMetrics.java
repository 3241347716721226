package dev.hera.micrometer;

import dev.hera.Hera;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;

/**
 * Puts a worker's figures into a Micrometer registry, which is an optional dependency: {@code hera.worker.calls} (timer; tags {@code endpoint}, {@code
 * outcome}), {@code hera.worker.in.flight} and {@code hera.worker.brokers} (gauges).
 */
public final class HeraMetrics {
    private HeraMetrics() {}

    /**
     * Begins to measure a worker.
     *
     * @param hera a worker that has not connected yet; its observer becomes ours
     * @param registry where the figures go
     */
    public static void bind(Hera hera, MeterRegistry registry) {
        Gauge.builder("hera.worker.in.flight", hera, Hera::inFlight).description("calls in flight, over all brokers").register(registry);
        Gauge.builder("hera.worker.brokers", hera, each -> each.brokers().size()).description("brokers that send calls").register(registry);
        hera.observe((endpoint, outcome, took) -> Timer.builder("hera.worker.calls")
                .description("calls, from their arrival to the end of their answer")
                .tag("endpoint", endpoint)
                .tag("outcome", outcome)
                .register(registry)
                .record(took));
    }
}

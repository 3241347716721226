package dev.hera.core;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;
import java.time.Duration;
import java.util.List;

/**
 * How loaded this process is (P-25): its share of the processors, the heap that the last collections left against its limit, and how long calls
 * waited for their thread. Several brokers ask; one for the process.
 */
final class Monitor {
    /** A share over less time would be noise. */
    private static final long CPU_NANOS = 500_000_000L;
    private static final long WINDOW_NANOS = 2_000_000_000L;

    private final List<MemoryPoolMXBean> heap = ManagementFactory.getMemoryPoolMXBeans().stream()
            .filter(pool -> pool.getType() == MemoryType.HEAP && pool.isCollectionUsageThresholdSupported())
            .toList();
    private long cpuAt;
    private Duration cpuUsed;
    private double share;
    private long windowFrom;
    private long delay;
    private long delayBefore;

    /** @param now monotonic nanoseconds */
    Monitor(long now) {
        cpuAt = now;
        windowFrom = now;
        cpuUsed = cpuTime();
    }

    /** Notes how long a call waited for its thread. */
    synchronized void delay(long nanos) {
        if (nanos > delay) delay = nanos;
    }

    /** Writes the members of a load. */
    synchronized void write(JsonGenerator json, long now, int inFlight) throws IOException {
        json.writeNumberField("cpu", cpu(now));
        json.writeNumberField("rss_bytes", heapBytes());
        json.writeNumberField("rss_limit_bytes", Runtime.getRuntime().maxMemory());
        json.writeNumberField("delay_ms", delayMs(now));
        json.writeNumberField("in_flight", inFlight);
    }

    private double cpu(long now) {
        long wall = now - cpuAt;
        if (wall < CPU_NANOS) return share;
        Duration used = cpuTime();
        double cores = Runtime.getRuntime().availableProcessors();
        share = Math.max(0, Math.min(1, used.minus(cpuUsed).toNanos() / (wall * cores)));
        cpuUsed = used;
        cpuAt = now;
        return share;
    }

    private static Duration cpuTime() {
        return ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO);
    }

    /** What collections left: the garbage between them says nothing of what is needed. */
    private long heapBytes() {
        long bytes = 0;
        for (MemoryPoolMXBean pool : heap) {
            MemoryUsage usage = pool.getCollectionUsage();
            if (usage != null) bytes += usage.getUsed();
        }
        return bytes;
    }

    /** The greatest delay of the last 2 to 4 s: two windows, so that no poll misses a peak. */
    private double delayMs(long now) {
        long greatest = Math.max(delay, delayBefore);
        if (now - windowFrom >= WINDOW_NANOS) {
            delayBefore = delay;
            delay = 0;
            windowFrom = now;
        }
        return Math.round(greatest / 1e5) / 10.0;
    }
}

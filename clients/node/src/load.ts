/** What this process tells brokers about its load (P-25). */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";

export interface Load {
  cpu: number;
  rss_bytes: number;
  rss_limit_bytes: number;
  delay_ms: number;
  in_flight: number;
}

const RESOLUTION_MS = 20;
const WINDOW_MS = 2_000;
/** Several brokers ask; within this time they get the same share, since shorter samples say little. */
const SAMPLE_MS = 500;

export class LoadMeter {
  readonly #limit = rssLimit();
  #delays: IntervalHistogram | undefined;
  #delayBefore = 0;
  #windowFrom = 0;
  #fresh = true;
  #cpuFrom = process.cpuUsage();
  #sampledAt = performance.now();
  #share = 0;

  start(): void {
    if (this.#delays) return;
    this.#delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#delays.enable();
    this.#windowFrom = performance.now();
  }

  stop(): void {
    this.#delays?.disable();
    this.#delays = undefined;
  }

  /** @param inFlight calls that run, over all brokers */
  read(inFlight: number): Load {
    return {
      cpu: this.#cpu(),
      rss_bytes: process.memoryUsage.rss(),
      rss_limit_bytes: this.#limit,
      delay_ms: this.#delay(),
      in_flight: inFlight,
    };
  }

  /** JavaScript runs on one core, so that is what the process may use. */
  #cpu(): number {
    const now = performance.now();
    const wall = now - this.#sampledAt;
    if (wall < SAMPLE_MS) return this.#share;
    const used = process.cpuUsage(this.#cpuFrom);
    this.#share = Math.min(1, Math.max(0, (used.user + used.system) / 1000 / wall));
    this.#cpuFrom = process.cpuUsage();
    this.#sampledAt = now;
    return this.#share;
  }

  /** The greatest delay of the last 2 to 4 s: two windows, so that no poll misses a peak. */
  #delay(): number {
    if (!this.#delays) return 0;
    if (this.#fresh) {
      // What delayed the loop before the first broker asked was this process's own start, which says nothing of the calls to come.
      this.#fresh = false;
      this.#delays.reset();
      this.#windowFrom = performance.now();
      return 0;
    }
    const current = Math.max(0, this.#delays.max / 1e6 - RESOLUTION_MS);
    const greatest = Math.max(current, this.#delayBefore);
    const now = performance.now();
    if (now - this.#windowFrom >= WINDOW_MS) {
      this.#delayBefore = current;
      this.#windowFrom = now;
      this.#delays.reset();
    }
    return Math.round(greatest * 10) / 10;
  }
}

/** The cgroup's limit, version 2 or 1, where it is under the machine's memory. */
function rssLimit(): number {
  const machine = totalmem();
  const group = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "/";
  const files = [
    `/sys/fs/cgroup${group}/memory.max`,
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  ];
  const set = files.map((file) => Number.parseInt(read(file), 10)).filter((limit) => limit > 0);
  return Math.min(machine, ...set);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

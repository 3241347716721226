// One load by wrk, and what each process used meanwhile; and rounds of them.
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { onCore, root } from "./stage.mjs";

/** CPU of a process so far, user and system, all its threads, in microseconds. */
export function micros(pid) {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    try {
      return sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]) / 1000;
    } catch {
      return sum; // A thread that has just ended.
    }
  }, 0);
}

/** User and system time of a process so far, in hundredths of a second: coarser, but apart. */
function userAndSystem(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return [Number(fields[11]), Number(fields[12])];
}

/** CPU of the processes that this one started and saw end, in microseconds; the kernel tells it in hundredths of a second. */
function microsOfEnded() {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1].split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10_000;
}

export function rssMiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;
}

/**
 * Loads a target for some seconds.
 *
 * Gives calls per second, microseconds of CPU per call of each process in `target.pids` (by the same names) and of wrk (`load`), the `user` share of the
 * first of them, latencies in milliseconds, and the number of `errors`.
 */
export async function measure(target, { path = "", script, args = [], connections, core }, seconds) {
  const [first] = Object.values(target.pids);
  const used = () => Object.entries(target.pids).map(([name, pid]) => [name, micros(pid)]);
  const wrk = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, "-H", `Hera-Token: ${target.token}`, target.url + path, "--", ...args.map(String)];

  const [before, beforeFirst, beforeEnded] = [used(), userAndSystem(first), microsOfEnded()];
  const { stdout: out } = await promisify(execFile)(...onCore(core, "wrk", wrk), { cwd: join(root, "bench", "load") });
  const [after, afterFirst, afterEnded] = [used(), userAndSystem(first), microsOfEnded()];

  const { calls, micros: took, refused, broken, ...latency } = JSON.parse(out.trim().split("\n").at(-1));
  if (calls === 0) throw new Error(`${target.name} answered nothing:\n${out}`);
  const cpu = after.map(([name, value], at) => [name, (value - before[at][1]) / calls]);
  const [user, system] = afterFirst.map((ticks, at) => ticks - beforeFirst[at]);
  return {
    ...Object.fromEntries(cpu),
    user: user / (user + system),
    load: (afterEnded - beforeEnded) / calls,
    perSecond: calls / (took / 1e6),
    ...Object.fromEntries(Object.entries(latency).map(([name, value]) => [name, value / 1000])),
    errors: refused + broken,
  };
}

/**
 * Each load on each target, again and again, the other way round every second time, so that what drifts meets all of them.
 *
 * `loads` are `measure`'s, each with a `name`; a target may have a `load` of its own that is laid over it. `between` is done after each. Gives rows by load and target: `at(load.name, target.name)` is a list with
 * one row for each round; the second is a target itself.
 */
export async function rounds(targets, loads, { rounds, seconds, between }) {
  const rows = new Map();
  const key = (load, target) => `${load}\n${target}`;
  for (const target of targets) await measure(target, { ...loads[0], ...target.load }, 1);
  for (let round = 0; round < rounds; round++) {
    for (const load of loads) {
      for (const target of round % 2 ? targets.toReversed() : targets) {
        const row = await measure(target, { ...load, ...target.load }, seconds);
        between();
        rows.set(key(load.name, target.name), [...(rows.get(key(load.name, target.name)) ?? []), row]);
      }
    }
    console.error(`  round ${round + 1} of ${rounds}`);
  }
  return (load, target) => rows.get(key(load, target.name));
}

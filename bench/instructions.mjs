// What a call costs the broker in instructions, system calls, looks at the clock and allocations, counted by valgrind: nearly the same on a busy
// machine as on a quiet one.
//
// The counters begin anew with a dump when the broker is warm: its start draws randomness from the machine's own jitter, and never costs the same.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { dirname, join } from "node:path";
import { jobs } from "./jobs.mjs";
import { table } from "./report.mjs";
import { ask, root } from "./stage.mjs";

const WARM = 1_000;
const CALLS = 10_000;

/** GETs exactly `count` times, one after the other on each connection. */
async function getAll(url, token, count, connections) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const once = () =>
    new Promise((done, fail) => {
      get(url, { agent, headers: { "Hera-Token": token } }, (res) => {
        if (res.statusCode !== 200) fail(new Error(`status ${res.statusCode}`));
        res.on("end", done).resume();
      }).on("error", fail);
    });
  let left = count;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) await once();
    }),
  );
  agent.destroy();
}

const allocates = /^(mi_)?(malloc|zalloc|calloc|realloc)/;
const inside = /^_?mi_/;

/**
 * What a file of callgrind counted: instructions, system calls, looks at the clock, and calls of an allocator from outside it, mimalloc's or libc's.
 *
 * The clock is apart because it is a system call under valgrind alone; otherwise the kernel lets a process read it by itself.
 */
function counts(file) {
  const names = new Map();
  const nameOf = (text) => {
    // `(12) name` where it comes first, `(12)` later.
    const [, id, name] = /^\((\d+)\)(?: (.*))?$/.exec(text);
    if (name) names.set(id, name);
    return names.get(id);
  };
  const totals = {};
  let [events, caller, callee, clock, allocations] = [[], "", "", 0, 0];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [key, value] = [line.slice(0, line.search(/[=:]/)), line.slice(line.search(/[=:]/) + 1)];
    if (key === "events") events = value.trim().split(" ");
    else if (key === "totals") value.trim().split(" ").forEach((number, at) => (totals[events[at]] = Number(number)));
    else if (key === "fn") caller = nameOf(value);
    else if (key === "cfn") callee = nameOf(value);
    else if (key === "calls") {
      const calls = Number(value.split(" ")[0]);
      if (callee.startsWith("clock_gettime")) clock += calls;
      if (allocates.test(callee) && !inside.test(caller)) allocations += calls;
    }
  }
  return { instructions: totals.Ir, syscalls: totals.sysCount - clock, clock, allocations };
}

/** The counts of so many calls on so many connections; the file stays for `callgrind_annotate target/bench/callgrind-64`. */
async function served(stage, connections) {
  const file = join(root, "target", "bench", `callgrind-${connections}`);
  mkdirSync(dirname(file), { recursive: true });
  const under = ["valgrind", "--quiet", "--tool=callgrind", `--callgrind-out-file=${file}`, "--collect-systime=yes"];
  const broker = await stage.broker({ under });
  const worker = stage.workers(broker, ["worker", 1]);
  const url = broker.url + jobs[0].path;
  const control = (verb) => execFileSync("callgrind_control", [verb, String(broker.pid)], { stdio: "ignore" });
  await stage.until(() => ask(url, broker.token).status === 200, "the worker");
  await getAll(url, broker.token, WARM, connections);
  control("--dump");
  await getAll(url, broker.token, CALLS, connections);
  control("--dump");
  broker.child.kill("SIGKILL");
  worker.kill();
  renameSync(`${file}.2`, file);
  rmSync(`${file}.1`);
  return counts(file);
}

export async function section(stage) {
  const rows = [];
  for (const connections of [1, 64]) {
    const all = await served(stage, connections);
    const perCall = (what, digits) => (all[what] / CALLS).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    rows.push([connections, perCall("instructions", 0), perCall("syscalls", 2), perCall("clock", 2), perCall("allocations", 2)]);
  }
  return `${jobs[0].name}, ${CALLS.toLocaleString("en")} calls, token check and access log on, all threads of the broker. Instructions in user space alone: the kernel's are not seen. One connection, one call at a
time: nothing is shared between calls. On 64, calls that wait together share wake-ups and writes, more of them than outside valgrind, where the broker is some fifty times faster.

${table(["connections", "instructions per call", "system calls per call", "looks at the clock", "allocations"], rows)}`;
}

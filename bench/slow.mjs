// What hostile callers cost the others: ordinary calls without and with thousands of heads that never come to their end, and the broker's
// memory after a gigabyte of heads that are refused.
import { spawn } from "node:child_process";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { jobs } from "./jobs.mjs";
import { micros, rssMiB } from "./measure.mjs";
import { middle, short, spread, table } from "./report.mjs";
import { ask, root } from "./stage.mjs";

/** Ordinary calls a second. */
const RATE = 300;
/** At its default `http.connections_max` as many slow connections would leave no place for others but those that are there. */
const SPARE = 2_000;

export async function section(stage, { rounds, seconds, connections, between }) {
  const slow = connections * 10;
  const gigabytes = connections < 1000 ? 0.1 : 1;
  const env = { HERA_HTTP__CONNECTIONS_MAX: String(slow + SPARE) };
  const [hera, other] = [await stage.broker({ env }), await stage.broker({ env })];
  stage.workers(hera, ["worker", 1]);
  const url = hera.url + jobs[0].path;
  const answers = () => ask(url, hera.token).status === 200;
  await stage.until(answers, "the worker");
  await load(url, hera.token, 2);
  const idle = rssMiB(hera.pid);

  const places = [["no slow ones"], ["slow ones at another broker", other], ["slow ones here", hera]];
  const rows = new Map(places.map(([name]) => [name, []]));
  let most = 0;
  for (let round = 0; round < rounds; round++) {
    for (const [name, broker] of places) {
      const dribbling = broker && (await dribble(broker, slow));
      const cpu = micros(hera.pid);
      const times = await load(url, hera.token, seconds);
      rows.get(name).push({ ...times, cpu: (micros(hera.pid) - cpu) / seconds / 10_000 });
      most = Math.max(most, rssMiB(hera.pid));
      dribbling?.kill("SIGKILL");
      await pause(1_000);
      between();
    }
    console.error(`  round ${round + 1} of ${rounds}`);
  }
  const { port } = new URL(hera.url);
  await flood(port, 64 << 20);
  const warm = rssMiB(hera.pid);
  const begun = performance.now();
  const { sent, refused } = await flood(port, gigabytes * 1e9);
  const took = (performance.now() - begun) / 1000;

  const figures = [...rows].map(([name, of]) => [name, middle(of, "p50"), spread(of, "p99"), middle(of, "p999"), middle(of, "cpu"), of.reduce((sum, row) => sum + row.failed, 0)]);
  return `${RATE} calls a second on 16 connections, each due at its time and timed from then; ${slow.toLocaleString("en")} connections beside them, each with a byte of its head a second,
cut after 10 s and dialled again. What the machine itself loses to so many connections is seen by hanging them on another broker: that row is the one to compare with.

${table(["calls with", "p50 ms", "p99 ms", "p99.9 ms", "CPU of the broker, %", "failed"], figures)}

Memory of the broker: ${short(idle)} MiB before, ${short(most)} MiB with them. ${short(sent / 1e9)} GB of heads that are refused (${refused}) took ${short(took)} s; ${short(warm)} MiB after the first 64 MB
of them, ${short(rssMiB(hera.pid))} MiB after all. A call was answered then: ${answers() ? "yes" : "no"}.`;
}

/** A process of its own that keeps slow connections; ready once most of them hang. */
async function dribble(broker, wanted) {
  const { port } = new URL(broker.url);
  const file = join(root, "bench", "load", "dribble.mjs");
  const child = spawn(process.execPath, [file, port, String(wanted)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  let open = 0;
  child.on("message", (said) => {
    open = said.open;
  });
  while (open < wanted * 0.85) await pause(100);
  return child;
}

/** Milliseconds that ordinary calls took, and how many failed. */
async function load(url, token, seconds) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const times = [];
  let failed = 0;
  const call = (due) =>
    new Promise((done) => {
      const asked = request(url, { agent, headers: { "Hera-Token": token } }, (response) => {
        response.resume();
        response.on("end", () => {
          if (response.statusCode === 200) times.push(performance.now() - due);
          else failed++;
          done();
        });
      });
      asked.on("error", () => (failed++, done()));
      asked.end();
    });
  const begun = performance.now();
  const calls = [];
  for (let n = 0; n < RATE * seconds; ) {
    const due = begun + (n * 1000) / RATE;
    if (due > performance.now()) await pause(1);
    else calls.push(call(due)), n++;
  }
  await Promise.all(calls);
  agent.destroy();
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), failed };
}

/** Heads that are each refused: too large by a little, or wrong in their last line. */
function hostileHeads() {
  const begin = "GET /0/bench HTTP/1.1\r\nHost: h\r\n";
  const fill = (bytes) => `X: ${"a".repeat(bytes)}\r\n`;
  return [
    `${begin}${fill(15_000)}bare line feed\n\r\n`,
    `${begin}${fill(15_000)}X: \x00\r\n\r\n`,
    begin + fill(17_000),
    begin + "X: 1\r\n".repeat(2_000),
    `GET /${"a".repeat(16_000)} HTTP/1.1\r\n`,
    "a".repeat(16_000),
    `${begin}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n${fill(14_000)}\r\n`,
  ].map((text) => Buffer.from(text, "latin1"));
}

async function flood(port, bytes) {
  const heads = hostileHeads();
  const refused = new Map();
  let [sent, n] = [0, 0];
  const one = () =>
    new Promise((done) => {
      const head = heads[n++ % heads.length];
      const socket = connect(port, "127.0.0.1", () => socket.end(head));
      let answer = "";
      socket.on("data", (data) => (answer ||= data.toString("latin1", 9, 12)));
      socket.on("error", () => {});
      socket.on("close", () => {
        sent += head.length;
        refused.set(answer, (refused.get(answer) ?? 0) + 1);
        done();
      });
    });
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      while (sent < bytes) await one();
    }),
  );
  return { sent, refused: [...refused].map(([status, count]) => `${count} x ${status || "no answer"}`).join(", ") };
}

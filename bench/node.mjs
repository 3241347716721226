// One Express app of five routes: through Hera, on Express alone, and the same on Fastify alone, in interleaved rounds of one run.
//
//   node bench/node.mjs [--rounds 5] [--seconds 4] [--connections 256]
//
// Express and Fastify listen themselves; Hera's worker has a broker in front of it, which checks a token and writes an access log, and is a
// process of its own on the same cores. The load is wrk with one thread. CPU is user + system time from /proc over the round, divided by
// the calls that wrk counted; nothing is asserted.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { answers, freePort, median, micros, option, root, Stage, spread } from "./stage.mjs";

const rounds = option("rounds", 5);
const seconds = option("seconds", 4);
const connections = option("connections", 256);
const folder = join(root, "bench", "node");

const measure = (target) => {
  const before = target.pids.map(micros);
  const wrk = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", join(folder, "load.lua"), "-H", `Hera-Token: ${target.token}`];
  const out = execFileSync("wrk", [...wrk, target.url]).toString();
  const calls = Number(/(\d+) requests in/.exec(out)[1]);
  if (/Non-2xx/.test(out)) throw new Error(`${target.name} answered errors`);
  const [node, broker] = target.pids.map((pid, at) => (micros(pid) - before[at]) / calls);
  return { perSecond: calls / seconds, node, broker, p99: /99%\s+([\d.]+\w+)/.exec(out)?.[1] };
};

const stage = new Stage();
try {
  const broker = await stage.broker();
  const { token } = broker;
  const worker = stage.start("node", [join(folder, "hera.mjs")], { env: { ...process.env, HERA: broker.hera, SECRET: broker.key } });
  const targets = [{ name: "Hera", pids: [worker.pid, broker.pid], url: broker.url, token }];
  for (const name of ["Express", "Fastify"]) {
    const port = await freePort();
    const alone = stage.start("node", [join(folder, `${name.toLowerCase()}.mjs`), String(port)], { env: { ...process.env, NODE_ENV: "production" } });
    targets.push({ name: `${name} alone`, pids: [alone.pid], url: `http://127.0.0.1:${port}`, token });
  }
  for (const target of targets) await stage.until(() => answers(`${target.url}/0/users/7`, token).includes("Ada"), target.name);
  const texts = targets.map((target) => answers(`${target.url}/0/users/7/orders?first=1`, token));
  if (new Set(texts).size > 1) throw new Error(`the answers differ: ${texts.join(" ")}`);

  const results = new Map(targets.map((target) => [target.name, []]));
  for (let round = 0; round < rounds; round++) for (const target of targets) results.get(target.name).push(measure(target));

  console.log(`${rounds} rounds of ${seconds} s, ${connections} connections, Node ${process.version}`);
  console.log("| app | calls/s: median (min-max) | us of Node's CPU per call | us of the broker's | p99 |\n|---|---|---|---|---|");
  for (const [name, rows] of results) {
    const of = (key) => rows.map((row) => row[key]);
    const front = rows[0].broker === undefined ? "" : spread(of("broker"));
    console.log(`| ${name} | ${spread(of("perSecond"))} | ${spread(of("node"))} | ${front} | ${of("p99").join(" ")} |`);
  }
  for (const other of ["Express alone", "Fastify alone"]) {
    const ratio = median(results.get("Hera").map((row, at) => row.perSecond / results.get(other)[at].perSecond));
    console.log(`calls/s, Hera to ${other}, median of the rounds: ${ratio.toFixed(2)}`);
  }
} finally {
  stage.end();
}

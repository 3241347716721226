// What it costs a service to ask another: over the bus, and over HTTP through HAProxy with connections that are kept.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { rounds } from "./measure.mjs";
import { errors, median, ratio, short, spread, table, version } from "./report.mjs";
import { ask, bin, freePort, root } from "./stage.mjs";

const haproxy = version("haproxy", "-v") ? "haproxy" : "/usr/sbin/haproxy";
const WAYS = ["none", "bus", "http"];
const CONNECTIONS = [1, 32];

export async function section(stage, options) {
  const broker = await stage.broker();
  const { token } = broker;
  const behind = stage.workers(broker, ["worker", 1]);
  const port = await freePort();
  const config = join(stage.run, "haproxy.cfg");
  // As operators run it: what `hera haproxy render` prints.
  writeFileSync(config, execFileSync(bin("hera"), ["haproxy", "render", "--server", `b1=${new URL(broker.url).host}`, "--bind", `127.0.0.1:${port}`]));
  const proxy = stage.start(haproxy, ["-db", "-f", config]);
  const env = { ...process.env, NODE_ENV: "production", HERA: broker.hera, SECRET: broker.key, TOKEN: token };
  const through = `127.0.0.1:${port}`;
  const script = join(root, "bench", "node", "front.mjs");
  const text = [];
  for (const [language, command, args] of [["Rust", bin("examples/bench"), ["front", through]], ["Node", process.execPath, [script, through]]]) {
    const front = stage.start(command, args, { env });
    const pids = { front: front.pid, broker: broker.pid, haproxy: proxy.pid, behind: behind.pid };
    const targets = WAYS.map((way) => ({ name: way, pids, url: broker.url, token, load: { path: `/0/front/${way}` } }));
    for (const { load } of targets) await stage.until(() => ask(broker.url + load.path, token).status === 200, `${language} ${load.path}`);
    const loads = CONNECTIONS.map((connections) => ({ name: `${connections}`, script: "fixed.lua", connections }));
    const at = await rounds(targets, loads, options);
    text.push(...rows(language, targets, loads, at));
    front.kill("SIGKILL");
    await stage.until(() => ask(`${broker.url}/0/front/none`, token).status === 503, "the end of the first");
  }
  const head = ["service", "callers", "us of all processes for a call over the bus", "over HTTP through HAProxy", "bus to HTTP", "us that the bus adds at p50", "that HTTP adds"];
  const bad = text.flatMap((row) => row.bad);
  return `HAProxy ${version(haproxy, "-v")}, Node ${process.version}. A service answers its callers with what another one answers it: 150 bytes of JSON of a Rust worker. CPU of the service, the broker, HAProxy and the worker behind, less that of the same service
which asks nobody; HAProxy runs what \`hera haproxy render\` prints, connections are kept on both sides, nothing is bound to a core.

${table(head, text.map((row) => row.cells))}${errors(bad)}`;
}

/** What asking adds, round by round. */
function rows(language, targets, loads, at) {
  return loads.map(({ name }) => {
    const [none, bus, http] = targets.map((target) => at(name, target));
    const all = (row) => row.front + row.broker + row.haproxy + row.behind;
    const added = (of) => of.map((row, round) => ({ cpu: all(row) - all(none[round]), p50: (row.p50 - none[round].p50) * 1000 }));
    const [byBus, byHttp] = [added(bus), added(http)];
    const p50 = (of) => (name === "1" ? short(median(of.map((row) => row.p50))) : "");
    return {
      cells: [language, name, spread(byBus, "cpu"), spread(byHttp, "cpu"), ratio(byBus, byHttp, "cpu"), p50(byBus), p50(byHttp)],
      bad: targets.map((target) => [`${language} ${target.name} at ${name}`, at(name, target)]),
    };
  });
}

// A Java worker beside the Rust one behind the same kind of broker, and beside the same handler on the JDK's own HTTP server alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { rounds } from "./measure.mjs";
import { errors, middle, ratio, spread, table } from "./report.mjs";
import { ask, freePort, root } from "./stage.mjs";

const target = join(root, "clients", "java", "target");
const source = join(root, "bench", "java", "Small.java");

export async function section(stage, options) {
  const libraries = `${join(target, "classes")}:${readFileSync(join(target, "runtime.classpath"), "utf8").trim()}`;
  const java = (args, env = {}) => stage.start("java", ["-Xmx512m", "-cp", libraries, ...args], { env: { ...process.env, ...env } });
  const targets = [];
  for (const name of ["Java", "Rust"]) {
    const broker = await stage.broker();
    const worker = name === "Rust" ? stage.workers(broker, ["worker", 1]) : java([source], { HERA: broker.hera, SECRET: broker.key });
    targets.push({ name: `${name} worker`, pids: { behind: worker.pid, middle: broker.pid }, url: broker.url, token: broker.token });
  }
  const port = await freePort();
  const alone = java(["-Dsun.net.httpserver.nodelay=true", "-Dsun.net.httpserver.maxIdleConnections=2000", source, String(port)]);
  targets.push({ name: "JDK's HTTP server alone", pids: { behind: alone.pid }, url: `http://127.0.0.1:${port}`, token: targets[0].token });
  for (const { name, url, token } of targets) await stage.until(() => ask(`${url}/0/small`, token).status === 200, name);

  const loads = [64, 256].map((connections) => ({ name: `${connections}`, path: "/0/small", script: "fixed.lua", connections }));
  const at = await rounds(targets, loads, options);

  const rows = loads.flatMap(({ name }) =>
    targets.map((each) => {
      const of = at(name, each);
      const share = (column) => (each === targets[0] ? "" : ratio(at(name, targets[0]), of, column));
      return [each.name, name, spread(of, "behind"), share("behind"), spread(of, "perSecond"), share("perSecond"), ...["p50", "p99"].map((column) => middle(of, column))];
    }),
  );
  const head = ["answers", "connections", "us of its CPU per call", "Java to it", "calls/s", "Java to it", "p50 ms", "p99 ms"];
  return `150 bytes of JSON. The JDK's server neither checks a token nor writes a log; a worker has the broker in front of it, which does both on the same cores. Nothing is bound to a core.

${table(head, rows)}${errors(targets.flatMap((each) => loads.map(({ name }) => [`${each.name} at ${name}`, at(name, each)])))}`;
}

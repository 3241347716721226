// One Express app of five routes: through Hera, on Express alone, and the same on Fastify alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { rounds } from "./measure.mjs";
import { errors, middle, ratio, spread, table } from "./report.mjs";
import { ask, freePort, root } from "./stage.mjs";

const folder = join(root, "bench", "node");

export async function section(stage, options) {
  const broker = await stage.broker();
  const { token } = broker;
  const env = { ...process.env, NODE_ENV: "production" };
  const worker = stage.start("node", [join(folder, "hera.mjs")], { env: { ...env, HERA: broker.hera, SECRET: broker.key } });
  const hera = { name: "Hera", pids: { node: worker.pid, middle: broker.pid }, url: broker.url, token };
  const others = [];
  for (const name of ["Express", "Fastify"]) {
    const port = await freePort();
    const alone = stage.start("node", [join(folder, `${name.toLowerCase()}.mjs`), String(port)], { env });
    others.push({ name: `${name} alone`, pids: { node: alone.pid }, url: `http://127.0.0.1:${port}`, token });
  }
  const targets = [hera, ...others];
  for (const target of targets) await stage.until(() => ask(`${target.url}/0/users/7`, token).body.includes("Ada"), target.name);
  const texts = targets.map((target) => ask(`${target.url}/0/users/7/orders?first=1`, token).body);
  if (new Set(texts).size > 1) throw new Error(`the answers differ: ${texts.join(" ")}`);

  const loads = [64, 256].map((connections) => ({ name: `${connections}`, script: "five.lua", connections }));
  const at = await rounds(targets, loads, options);

  const rows = loads.flatMap(({ name }) =>
    targets.map((target) => {
      const of = at(name, target);
      const share = (column) => (target === hera ? "" : ratio(at(name, hera), of, column));
      return [
        target.name,
        name,
        spread(of, "node"),
        share("node"),
        target === hera ? middle(of, "middle") : "",
        spread(of, "perSecond"),
        share("perSecond"),
        ...["p50", "p99", "p999"].map((column) => middle(of, column)),
      ];
    }),
  );
  const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const head = ["app", "connections", "us of Node's CPU per call", "Hera to it", "us of the broker's", "calls/s", "Hera to it", "p50 ms", "p99 ms", "p99.9 ms"];
  return `Node ${process.version}, Express ${dependencies.express}, Fastify ${dependencies.fastify}. Express and Fastify listen themselves and neither check a token nor write a log; Hera's worker has the
broker in front of it, which does both on the same cores. Nothing is bound to a core.

${table(head, rows)}${errors(targets.flatMap((target) => loads.map(({ name }) => [`${target.name} at ${name}`, at(name, target)])))}`;
}

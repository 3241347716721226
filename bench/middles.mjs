// The middles, side by side: Hera's broker with its worker, and the proxies with one backend.
//
// All on one thread, all check a token, give each call an id and write an access log to a file; their configurations are in bench/middles/.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { envoy } from "./envoy.mjs";
import { answersAll, jobs } from "./jobs.mjs";
import { rssMiB } from "./measure.mjs";
import { version } from "./report.mjs";
import { ask, bin, freePort, root, Stage } from "./stage.mjs";

const nginx = version("nginx", "-v") ? "nginx" : "/usr/sbin/nginx";
const haproxy = version("haproxy", "-v") ? "haproxy" : "/usr/sbin/haproxy";

/** Starts all of them; `pins` says on which cores. Each target has the CPU's owners in `pids` and its resident memory at rest in `idle`. */
export async function middles(stage, pins = {}) {
  const port = await freePort();
  const backend = stage.start(bin("examples/bench"), ["backend", port], { core: pins.behind });
  const broker = await stage.broker({ core: pins.middle });
  const { token } = broker;
  const worker = stage.workers(broker, ["worker", 1], { core: pins.behind });
  const targets = [{ name: "Hera", pids: { middle: broker.pid, behind: worker.pid }, url: broker.url }];

  /** Starts a proxy with a configuration from bench/middles/, its `{{places}}` filled. */
  const proxy = async (name, file, command, places = {}) => {
    const all = { port: await freePort(), backend: port, token, run: stage.run, ...places };
    const config = join(stage.run, `${name}-${file}`.replaceAll(" ", "-"));
    const text = readFileSync(join(root, "bench", "middles", file), "utf8");
    writeFileSync(config, text.replace(/{{(\w+)}}/g, (_, place) => all[place]));
    const [program, ...args] = command(config);
    const { pid } = stage.start(program, args, { core: pins.middle });
    targets.push({ name, pids: { middle: pid, behind: backend.pid }, url: `http://127.0.0.1:${all.port}` });
  };
  const byHaproxy = (config) => [haproxy, "-db", "-f", config];
  await proxy("HAProxy", "haproxy.cfg", byHaproxy, { server: "" });
  await proxy("HAProxy tuned", "haproxy.cfg", byHaproxy, { server: "maxconn 16" });
  await proxy("nginx", "nginx.conf", (config) => [nginx, "-c", config, "-p", stage.run]);
  const program = envoy();
  if (program) await proxy("Envoy", "envoy.yaml", (config) => [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);

  for (const target of targets) {
    target.token = token;
    await stage.until(() => answersAll(target), target.name);
    const refused = ask(target.url + jobs[0].path, "hera_wrong").status;
    if (refused !== 401) throw new Error(`${target.name} answers ${refused} to a wrong token`);
    target.idle = rssMiB(target.pids.middle);
  }
  return { targets, direct: { name: "no middle", pids: { behind: backend.pid }, url: `http://127.0.0.1:${port}`, token } };
}

/** Their versions, in a sentence's form. */
export function versions() {
  const program = envoy();
  const all = { Hera: version(bin("hera"), "--version"), HAProxy: version(haproxy, "-v"), nginx: version(nginx, "-v"), Envoy: program && version(program, "--version"), wrk: version("wrk", "-v") };
  return Object.entries(all).map(([name, number]) => (number ? `${name} ${number}` : `no ${name}`)).join(", ");
}

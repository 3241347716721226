// Hera alone: what many endpoints and many workers cost each call.
import { jobs, load } from "./jobs.mjs";
import { rounds, rssMiB } from "./measure.mjs";
import { errors, middle, ratio, short, spread, table } from "./report.mjs";
import { ask, pins } from "./stage.mjs";

/**
 * `crowd` workers have endpoints of their own, `called` of them (workers, endpoints of each) are called in turn; `worker`s serve one endpoint together.
 * `beside` is the row to compare with.
 */
const scenes = [
  { name: "10 endpoints of 10 workers, all called", args: ["crowd", 10, 1], called: [10, 1] },
  { name: "10,000 endpoints of 10 workers, ten called", args: ["crowd", 10, 1000], called: [10, 1], beside: 0 },
  { name: "10,000 endpoints of 10 workers, all called", args: ["crowd", 10, 1000], called: [10, 1000], beside: 0 },
  { name: "1 worker", args: ["crowd", 1, 1], called: [1, 1] },
  { name: "100 workers, one called", args: ["crowd", 100, 1], called: [1, 1], beside: 3 },
  { name: "100 workers, all called for one endpoint", args: ["worker", 100], beside: 3 },
];

export async function section(stage, options) {
  const connections = 64;
  const targets = [];
  for (const { name, args, called } of scenes) {
    const last = called ? `/0/crowd/${args[1] - 1}/${args[2] - 1}/7` : jobs[0].path;
    const broker = await stage.broker({ core: pins.middle });
    const workers = stage.workers(broker, args, { core: pins.behind });
    await stage.until(() => ask(broker.url + last, broker.token).status === 200, name);
    const own = called ? { path: "", script: "crowd.lua", args: called } : load(jobs[0], connections);
    targets.push({
      name,
      pids: { middle: broker.pid, behind: workers.pid },
      url: broker.url,
      token: broker.token,
      idle: rssMiB(broker.pid),
      load: { ...own, connections },
    });
  }
  const at = await rounds(targets, [{ name: "all", core: pins.load }], options);

  const rows = targets.map((target, n) => {
    const of = at("all", target);
    const { beside } = scenes[n];
    const share = beside === undefined ? "" : ratio(of, at("all", targets[beside]), "middle");
    return [target.name, spread(of, "middle"), share, middle(of, "behind"), spread(of, "perSecond"), middle(of, "p99"), short(target.idle), short(rssMiB(target.pids.middle))];
  });
  const head = ["broker with", "us of CPU per call", "to the first of its kind", "workers'", "calls/s", "p99 ms", "MiB before", "MiB after"];
  return `150 bytes of JSON, ${connections} connections, the broker alone on its core. Endpoints are called in turn; the 100 workers are sessions of one process. What 10,000 endpoints called in turn cost is memory:
each call finds its route, its counters and its worker's declaration out of the caches. What 100 workers that share the calls cost is system calls: with ${connections} calls in flight hardly two wait for the same worker, so each has a write and a read of its
own, as it has behind a proxy, where one worker's calls share theirs.

${table(head, rows)}${errors(targets.map((target) => [target.name, at("all", target)]))}`;
}

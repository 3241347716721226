// Hera alone: what many endpoints and many workers cost each call.
import { jobs, load } from "./jobs.mjs";
import { rounds, rssMiB } from "./measure.mjs";
import { errors, middle, ratio, short, spread, table } from "./report.mjs";
import { ask, pins } from "./stage.mjs";

/** `crowd` workers have endpoints of their own, which are called in turn; `worker`s serve one endpoint together. */
const scenes = [
  { name: "10 endpoints, 10 workers", args: ["crowd", 10, 1], last: "/0/crowd/9/0/7" },
  { name: "10,000 endpoints, 10 workers", args: ["crowd", 10, 1000], last: "/0/crowd/9/999/7", beside: 0 },
  { name: "one endpoint, 1 worker", args: ["worker", 1], last: jobs[0].path },
  { name: "one endpoint, 100 workers", args: ["worker", 100], last: jobs[0].path, beside: 2 },
];

export async function section(stage, options) {
  const connections = 64;
  const targets = [];
  for (const { name, args, last } of scenes) {
    const broker = await stage.broker({ core: pins.middle });
    const workers = stage.workers(broker, args, { core: pins.behind });
    await stage.until(() => ask(broker.url + last, broker.token).status === 200, name);
    const own = args[0] === "crowd" ? { path: "", script: "crowd.lua", args: args.slice(1) } : load(jobs[0], connections);
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
  const head = ["broker with", "us of CPU per call", "to the row above", "workers'", "calls/s", "p99 ms", "MiB before", "MiB after"];
  return `150 bytes of JSON, ${connections} connections, the broker alone on its core. The endpoints are called in turn, all of them; the 100 workers are sessions of one process and share the calls.

${table(head, rows)}${errors(targets.map((target) => [target.name, at("all", target)]))}`;
}

// Hera alone: what the access log costs, and a second core.
import { answersAll, jobs, load } from "./jobs.mjs";
import { rounds } from "./measure.mjs";
import { errors, middle, ratio, spread, table } from "./report.mjs";
import { pins } from "./stage.mjs";

/** `bound` brokers have a core for themselves, which two cores cannot; `beside` is the row to compare with. */
const brokers = [
  { name: "one core, log on", bound: true },
  { name: "one core, log off", bound: true, env: { HERA_LOG__ACCESS: "off" }, beside: 0 },
  { name: "one core, not bound" },
  { name: "two cores, not bound", env: { HERA_BROKER__CORES: "2" }, beside: 2 },
];

export async function section(stage, options) {
  const targets = [];
  for (const { name, env, bound } of brokers) {
    const at = bound ? pins : {};
    const broker = await stage.broker({ env, core: at.middle });
    // Two sessions, so that a second core has one too.
    const worker = stage.workers(broker, ["worker", 2], { core: at.behind });
    const target = { name, pids: { middle: broker.pid, behind: worker.pid }, url: broker.url, token: broker.token, load: { core: at.load } };
    await stage.until(() => answersAll(target), name);
    targets.push(target);
  }
  const loads = [64, 256].map((connections) => ({ ...load(jobs[0], connections), name: `${connections}` }));
  const at = await rounds(targets, loads, options);

  const rows = loads.flatMap(({ name }) =>
    targets.map((target, n) => {
      const of = at(name, target);
      const { beside } = brokers[n];
      const share = beside === undefined ? "" : ratio(of, at(name, targets[beside]), "middle");
      return [target.name, name, spread(of, "middle"), share, middle(of, "behind"), spread(of, "perSecond"), middle(of, "p99")];
    }),
  );
  const head = ["broker", "connections", "us of CPU per call", "to the one above", "worker's", "calls/s", "p99 ms"];
  return `${jobs[0].name}, two workers in one process. Metrics cannot be turned off: they are in every row.

${table(head, rows)}${errors(targets.flatMap((target) => loads.map(({ name }) => [`${target.name} at ${name}`, at(name, target)])))}`;
}

// Hera alone: what the access log costs, and a second core.
import { answersAll, jobs, load } from "./jobs.mjs";
import { rounds } from "./measure.mjs";
import { errors, middle, ratio, spread, table } from "./report.mjs";

const brokers = [
  { name: "as it is: one core, log on" },
  { name: "access log off", env: { HERA_LOG__ACCESS: "off" } },
  { name: "two cores", env: { HERA_BROKER__CORES: "2" } },
];

export async function section(stage, options) {
  const targets = [];
  for (const { name, env } of brokers) {
    const broker = await stage.broker({ env });
    // Two sessions, so that a second core has one too.
    const worker = stage.workers(broker, ["worker", 2]);
    const target = { name, pids: { middle: broker.pid, behind: worker.pid }, url: broker.url, token: broker.token };
    await stage.until(() => answersAll(target), name);
    targets.push(target);
  }
  const loads = [64, 256].map((connections) => ({ ...load(jobs[0], connections), name: `${connections}` }));
  const at = await rounds(targets, loads, options);

  const rows = loads.flatMap(({ name }) =>
    targets.map((target) => {
      const of = at(name, target);
      return [target.name, name, spread(of, "middle"), ratio(of, at(name, targets[0]), "middle"), middle(of, "behind"), spread(of, "perSecond"), middle(of, "p99")];
    }),
  );
  const head = ["broker", "connections", "us of CPU per call", "to the first", "worker's", "calls/s", "p99 ms"];
  return `${jobs[0].name}, two workers in one process, nothing bound to a core. Metrics cannot be turned off: they are in every row.

${table(head, rows)}${errors(targets.flatMap((target) => loads.map(({ name }) => [`${target.name} at ${name}`, at(name, target)])))}`;
}

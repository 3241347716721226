// CPU per call of the middle: Hera's broker beside the proxies, job by job, each middle alone on its core.
import { jobs, load } from "./jobs.mjs";
import { rounds, rssMiB } from "./measure.mjs";
import { middles, versions } from "./middles.mjs";
import { errors, median, middle, ratio, short, spread, table } from "./report.mjs";
import { pins } from "./stage.mjs";

export async function section(stage, options) {
  const { targets } = await middles(stage, pins);
  const name = (job, connections) => `${job.name}, ${short(connections)}`;
  const loads = jobs.flatMap((job) =>
    job.connections.filter((count) => count <= options.connections).map((count) => ({ name: name(job, count), core: pins.load, job, ...load(job, count) })),
  );
  const at = await rounds(targets, loads, options);
  const [hera, ...others] = targets;

  const first = table(
    ["job, connections", ...targets.map((target) => target.name)],
    loads.map(({ name }) => [
      name,
      middle(at(name, hera), "middle"),
      ...others.map((other) => `${middle(at(name, other), "middle")} (${ratio(at(name, hera), at(name, other), "middle")})`),
    ]),
  );
  const details = loads.map(({ name }) => {
    const rows = targets.map((target) => {
      const of = at(name, target);
      return [
        target.name,
        spread(of, "middle"),
        middle(of, "user"),
        ...["behind", "load"].map((column) => middle(of, column)),
        spread(of, "perSecond"),
        ...["p50", "p99", "p999"].map((column) => middle(of, column)),
      ];
    });
    const head = ["middle", "us per call: median (least-most)", "user share", "behind it", "load", "calls/s", "p50 ms", "p99 ms", "p99.9 ms"];
    return `**${name}**\n\n${table(head, rows)}${errors(targets.map((target) => [target.name, at(name, target)]))}`;
  });
  const memory = table(
    ["resident memory, MiB", ...targets.map((target) => target.name)],
    [
      ["before the first load", ...targets.map((target) => short(target.idle))],
      ["after the last", ...targets.map((target) => short(rssMiB(target.pids.middle)))],
    ],
  );
  const all = others.map((other) => {
    const ratios = loads.map(({ name }) => Number(ratio(at(name, hera), at(name, other), "middle")));
    return `${other.name} ${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}, median ${median(ratios).toFixed(2)}`;
  });

  return `${versions()}.

Each middle alone on its core. Microseconds of CPU per call of the middle, median of the rounds; in brackets Hera's share of it, median of the rounds' ratios.

${first}

Hera's share over all rows: ${all.join("; ")}.

${memory}

<details><summary>Every job: spread, CPU behind the middle and of the load generator, latencies</summary>

${details.join("\n\n")}

</details>`;
}

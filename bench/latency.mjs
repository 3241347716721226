// What a middle adds to one call, when there is only one at a time.
import { jobs, load } from "./jobs.mjs";
import { rounds } from "./measure.mjs";
import { middles, versions } from "./middles.mjs";
import { errors, median, middle, short, spread, table } from "./report.mjs";

export async function section(stage, options) {
  const { targets, direct } = await middles(stage);
  const all = [direct, ...targets];
  const name = jobs[0].name;
  const at = await rounds(all, [{ name, ...load(jobs[0], 1) }], options);

  const base = at(name, direct);
  const added = (rows) => short(median(rows.map((row, round) => (row.p50 - base[round].p50) * 1000)));
  const rows = all.map((target) => {
    const of = at(name, target);
    return [
      target.name,
      spread(of.map((row) => ({ p50: row.p50 * 1000 })), "p50"),
      target === direct ? "" : added(of),
      ...["p99", "p999"].map((column) => middle(of.map((row) => ({ [column]: row[column] * 1000 })), column)),
      target === direct ? "" : middle(of, "middle"),
    ];
  });
  return `${versions()}.

${name}, one connection, one call at a time, nothing bound to a core. Microseconds; "added" is p50 above the same call to the backend without a middle.

${table(["through", "p50: median (least-most)", "added", "p99", "p99.9", "CPU of the middle per call"], rows)}${errors(all.map((target) => [target.name, at(name, target)]))}`;
}

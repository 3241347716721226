// Runs the benchmarks and writes their results into docs/benchmarks.md. Nothing is asserted on time.
//
//   node bench/run.mjs [--only middle,latency,node,java,remote,settings,scale,slow,instructions] [--rounds 5] [--seconds 4] [--connections 1000] [--quick]
//
// --connections is the most that is tried. --quick is for trying the benchmarks themselves: two rounds of a second, printed and not written.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fill, machine } from "./report.mjs";
import { root, Stage } from "./stage.mjs";

const SECTIONS = ["middle", "latency", "node", "java", "remote", "settings", "scale", "slow", "instructions"];

const USAGE = `node bench/run.mjs [--only ${SECTIONS.join(",")}] [--rounds 5] [--seconds 4] [--connections 1000] [--quick]`;
const VALUED = ["--only", "--rounds", "--seconds", "--connections"];
const flags = process.argv.slice(2);
const stranger = flags.find((flag, at) => !(VALUED.includes(flag) || flag === "--quick" || VALUED.includes(flags[at - 1])));
if (stranger) {
  // It runs for half an hour and writes a page: not for who asked for something else.
  console.error(stranger === "--help" ? USAGE : `${stranger} is not known here\n${USAGE}`);
  process.exit(stranger === "--help" ? 0 : 2);
}
const value = (name) => (flags.includes(`--${name}`) ? flags[flags.indexOf(`--${name}`) + 1] : undefined);
const quick = flags.includes("--quick");
const options = {
  rounds: Number(value("rounds") ?? (quick ? 2 : 5)),
  seconds: Number(value("seconds") ?? (quick ? 1 : 4)),
  connections: Number(value("connections") ?? 1000),
};
const only = value("only")?.split(",") ?? SECTIONS;
const unknown = only.filter((name) => !SECTIONS.includes(name));
if (unknown.length > 0) {
  console.error(`no section ${unknown.join(", ")}; there are ${SECTIONS.join(", ")}`);
  process.exit(2);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** What was measured, if it can be told. */
function commit() {
  const git = (...args) => execFileSync("git", args, { cwd: root, stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
  try {
    const changed = git("status", "--porcelain", "--", "crates", "clients", "bench") ? " with changes" : "";
    return `commit ${git("rev-parse", "--short", "HEAD")}${changed}`;
  } catch {
    return "no commit";
  }
}

for (const name of only) {
  console.error(`${name}:`);
  const { section } = await import(`./${name}.mjs`);
  const stage = new Stage();
  try {
    const text = await section(stage, { ...options, between: () => stage.emptyLogs() });
    const much = name === "instructions" ? "" : ` --rounds ${options.rounds} --seconds ${options.seconds}`;
    const all = `\`node bench/run.mjs --only ${name}${much}\`, ${commit()}, ${machine()}.\n\n${text}`;
    console.log(`## ${name}\n\n${all}\n`);
    if (!quick) fill(join(root, "docs", "benchmarks.md"), name, all);
  } catch (error) {
    // The others are worth having.
    console.error(error);
    process.exitCode = 1;
  } finally {
    stage.end();
  }
}

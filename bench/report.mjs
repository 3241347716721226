// Numbers as text, and the page that holds them.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Three digits are all that these measurements carry; whole numbers below 1,000 stay as they are. */
export function short(number) {
  if (Number.isInteger(number) && number < 1000) return String(number);
  if (number >= 1000) return Math.round(number).toLocaleString("en");
  return number.toFixed(number >= 100 ? 0 : number >= 10 ? 1 : 2);
}

/** `median (least-most)` of a column of rows. */
export function spread(rows, column) {
  const numbers = rows.map((row) => row[column]);
  return `${short(median(numbers))} (${short(Math.min(...numbers))}-${short(Math.max(...numbers))})`;
}

/** The median of a column of rows. */
export const middle = (rows, column) => short(median(rows.map((row) => row[column])));

/** Median over the rounds of one target's figure divided by another's in the same round. */
export const ratio = (rows, others, column) => median(rows.map((row, at) => row[column] / others[at][column])).toFixed(2);

/** A table of Markdown. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** Says which rows had calls that were not answered well; empty where there are none. */
export function errors(named) {
  const bad = named.map(([name, rows]) => [name, rows.reduce((sum, row) => sum + row.errors, 0)]).filter(([, count]) => count > 0);
  return bad.length ? `\n\nNot answered well: ${bad.map(([name, count]) => `${name} ${count}`).join(", ")} calls.` : "";
}

/** The first number with dots in what a program says of itself, on stdout or stderr; undefined where there is no such program. */
export function version(command, ...args) {
  const { stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`)?.[0];
}

/** Cores, processor, kernel. */
export const machine = () => `${cpus().length} cores of ${cpus()[0].model.replace(/\(R\)|\(TM\)/g, "").trim()}, Linux ${release()}`;

/** Puts a text between `<!-- name -->` and `<!-- /name -->` of a page. */
export function fill(page, name, text) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const old = readFileSync(page, "utf8");
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no ${begin}`);
  writeFileSync(page, `${old.slice(0, from + begin.length)}\n${text}\n${old.slice(to)}`);
}

/** One step of the tour: a curl call as the user would type it, its answer, and whether that is right. */
import { spawn } from "node:child_process";

const WIDTH = 96;
const color = process.stdout.isTTY && !process.env.NO_COLOR;
const bold = (text) => (color ? `\x1b[1m${text}\x1b[22m` : text);
const dim = (text) => (color ? `\x1b[2m${text}\x1b[22m` : text);

let wrong = 0;
let right = 0;

/** How many checks failed and held so far. */
export const score = () => ({ wrong, right });

export function heading(text) {
  console.log(`\n${bold(text)}`);
}

/** Runs `curl` with these arguments, shows the command and the answer, and gives `{status, headers, body}`.
 *  With `-i` the answer is shown as it came, else its body and the metadata. */
export async function curl(args) {
  show([
    "curl",
    ...args.map((arg, n) =>
      takesNext(args[n - 1]) ? "" : takesNext(arg) ? `${arg} ${quoted(args[n + 1])}` : quoted(arg),
    ),
  ]);
  const unseen = ["-sS", "--max-time", "30", ...(args.includes("-i") ? [] : ["-i"])];
  const answer = parse(await output("curl", [...unseen, ...args]));
  console.log(
    args.includes("-i")
      ? dim(inset(`${answer.head}\n`)) + inset(pretty(answer.body))
      : inset(pretty(answer.body)) + dim(inset(metadata(answer))),
  );
  return answer;
}

/** Runs these words as a line of shell, shows it and what it prints, and gives that as lines. */
export async function shell(words) {
  show(words);
  const text = (await output("sh", ["-c", words.join(" ")])).trimEnd();
  console.log(inset(text));
  return text.split("\n");
}

/** Says what was checked; a check that fails counts, and the tour goes on. */
export function check(what, ok, seen) {
  if (ok) right += 1;
  else wrong += 1;
  console.log(`  ${ok ? "ok   " : "WRONG"} ${what}`);
  if (!ok) console.log(inset(`got ${pretty(seen ?? "nothing")}`));
}

function output(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    const pieces = [];
    child.stdout.on("data", (piece) => pieces.push(piece));
    child.on("error", reject);
    child.on("close", () => resolve(Buffer.concat(pieces).toString()));
  });
}

/** An answer as `curl -i` prints it; status 0 where there is none, curl has said why then. */
function parse(text) {
  const [head, ...rest] = text.split("\r\n\r\n");
  const [first, ...lines] = head.split("\r\n");
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  );
  return {
    status: Number(first.split(" ")[1] ?? 0),
    headers,
    head: head.replaceAll("\r", ""),
    body: json(rest.join("\r\n\r\n")),
  };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A command that can be copied: broken where it is long, and between words alone. */
function show(words) {
  const lines = fill(words.filter(Boolean), " ", WIDTH - 8);
  console.log(`\n  $ ${lines.join(" \\\n      ")}\n`);
}

/** Status and times; worker; request id. */
function metadata({ status, headers }) {
  const names = ["server-timing", "hera-worker", "x-request-id"].filter((name) => headers.has(name));
  return names.map((name, n) => `${n === 0 ? status : "   "}  ${name}: ${headers.get(name)}`).join("\n");
}

/** JSON, close enough to read: small members share lines, lists have a line for each of their first three items. */
function pretty(value, indent = "") {
  if (typeof value === "string") return indent === "" ? value : JSON.stringify(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "";
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.slice(0, 3).map((each) => inner + pretty(each, inner));
    if (value.length > 3) items.push(`${inner}… ${value.length - 3} more`);
    return `[\n${items.join(",\n")}\n${indent}]`;
  }
  const members = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pretty(each, inner)}`);
  const nested = Object.values(value).some((each) => typeof each === "object" && each !== null);
  if (nested) return `{\n${members.map((each) => inner + each).join(",\n")}\n${indent}}`;
  const width = WIDTH - inner.length - 6;
  const lines = fill(members, ", ", width).map((line) => fill(line.split(" "), " ", width).join(`\n${inner}  `));
  return `{ ${lines.join(`,\n${inner}`)} }`;
}

/** Words in as few lines as they fit in; a word that is too long has a line of its own. */
function fill(words, between, width) {
  const lines = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + between.length + word.length <= width)
      lines[lines.length - 1] = last + between + word;
    else lines.push(word);
  }
  return lines;
}

function inset(text) {
  return text
    .split("\n")
    .map((line) => `${line && `    ${line}`}\n`)
    .join("");
}

const takesNext = (arg) => arg === "-H" || arg === "-d";

function quoted(arg) {
  return /^[\w@./:=-]+$/.test(arg) ? arg : `'${arg}'`;
}

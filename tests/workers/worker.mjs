/** The Node worker of the system tests: `node worker.mjs PREFIX NAME`.
 *
 *  It serves the endpoints that `src/bin/worker.rs` lists, and
 *    POST PREFIX/at/NAME/block/:ms    answers, then blocks the event loop for so long */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import hera from "../../clients/node/dist/index.js";

const [prefix, name] = process.argv.slice(2);
if (!name) {
  console.error("usage: node worker.mjs PREFIX NAME");
  process.exit(2);
}
const MIB = 1024 * 1024;
const LOOK_MS = 20;
const BLOCK_BYTES = 64 * 1024;
const large = { bodyLimit: 1024 * MIB, timeout: 300_000 };
const { GATE, RUNS } = process.env;

const who = { pid: process.pid, name };
const events = [];
const runs = Object.create(null);

/** Notes what became of a call. */
function event(what, req, detail) {
  events.push({ what, id: req.id, detail: String(detail) });
}

const app = hera({ version: "test" });

// ---- small answers

app.get(`${prefix}/pid`, (_req, res) => res.json(who));

app.get(`${prefix}/sleep/:ms`, async (req, res) => {
  await sleep(Number(req.params.ms));
  res.json(who);
});

app.get(`${prefix}/hold`, { timeout: 60_000 }, async (_req, res) => {
  while (GATE && !existsSync(GATE)) await sleep(LOOK_MS);
  res.json(who);
});

app.post(`${prefix}/run/:nonce`, async (req, res) => {
  const { nonce } = req.params;
  runs[nonce] = (runs[nonce] ?? 0) + 1;
  // One write of one line: appended whole, whoever else writes to the file, and it outlives a kill.
  if (RUNS) appendFileSync(RUNS, `${nonce}\n`);
  await sleep(Number(req.query.ms ?? 0));
  res.json(who);
});

// ---- bodies

/** Writes, and waits for room; false when nobody reads on. */
function put(res, piece) {
  if (res.write(piece) || res.destroyed) return !res.destroyed;
  return new Promise((resolve) => {
    const done = () => {
      res.off("drain", done).off("close", done);
      resolve(!res.destroyed);
    };
    res.on("drain", done).on("close", done);
  });
}

app.post(`${prefix}/echo`, { bodyLimit: 8 * MIB, stream: true }, async (req, res) => {
  const pieces = [];
  for await (const piece of req) pieces.push(piece);
  res.type(req.get("content-type") ?? "bin").send(Buffer.concat(pieces));
});

app.post(`${prefix}/stream`, { ...large, stream: true }, async (req, res) => {
  try {
    for await (const piece of req) {
      if (!(await put(res, piece))) return event("stream_unwanted", req, "");
    }
  } catch (error) {
    event("stream_cut", req, error.code);
    throw error;
  }
  event("stream_end", req, "");
  res.end();
});

app.post(`${prefix}/upload`, { ...large, stream: true }, async (req, res) => {
  const rate = Number(req.query.rate ?? 0);
  const hash = createHash("sha256");
  const begun = performance.now();
  let bytes = 0;
  event("upload_began", req, "");
  try {
    for await (const piece of req) {
      bytes += piece.length;
      hash.update(piece);
      const early = rate > 0 ? (bytes / rate) * 1000 - (performance.now() - begun) : 0;
      if (early > 1) await sleep(early);
    }
  } catch (error) {
    event("upload_cut", req, error.code);
    throw error;
  }
  event("upload_end", req, bytes);
  res.json({ bytes, sha256: hash.digest("hex") });
});

app.get(`${prefix}/download/:bytes`, large, async (req, res) => {
  const bytes = Number(req.params.bytes);
  if (req.query.length) res.set("content-length", bytes);
  res.type("bin");
  for (let from = 0; from < bytes; from += BLOCK_BYTES) {
    const block = patternBlock(from / BLOCK_BYTES).subarray(0, bytes - from);
    if (!(await put(res, block))) return event("download_cut", req, from);
  }
  event("download_end", req, bytes);
  res.end();
});

const base = Buffer.alloc(BLOCK_BYTES);
for (let j = 0; j < BLOCK_BYTES; j++) base[j] = 131 * j + (j >> 8);

/** Block `k` of the pattern; `pattern.rs` tells its rule. */
function patternBlock(k) {
  const block = Buffer.from(base);
  block.writeBigUInt64BE(BigInt(k));
  return block;
}

// ---- failures

app.get(`${prefix}/throw`, (req) => {
  throw new Error(`the handler broke on purpose for ${req.id}`);
});

function never(req) {
  event("began", req, "");
  req.signal.addEventListener("abort", () => event("cancelled", req, req.signal.reason?.code));
}
app.get(`${prefix}/never`, { timeout: 1_000 }, never);
app.get(`${prefix}/forever`, { timeout: 60_000 }, never);

// ---- controls of this one process

const at = `${prefix}/at/${name}`;
let burner;

app.get(`${at}/state`, (_req, res) => res.json({ ...who, events, runs }));

app.post(`${at}/burn/:on`, async (req, res) => {
  // In a thread of its own: the CPU is gone and the event loop is free.
  if (req.params.on === "1") burner ??= new Worker("for (;;);", { eval: true });
  else burner = await burner?.terminate().then(() => undefined);
  res.end();
});

app.post(`${at}/block/:ms`, (req, res) => {
  res.end();
  // Later, so that the answer is on its way.
  setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(req.params.ms)), 50);
});

await app.connect();
console.log("connected");

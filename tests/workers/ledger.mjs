/** The Node twin of `crates/hera-ledger/src/bin/hera-ledger-worker.rs`, which lists the endpoints: `node ledger.mjs PREFIX NAME`, with `HERA`,
 *  `SECRET` and `RUNS_DIR` in its environment. */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import hera from "../../clients/node/dist/index.js";

const [prefix, name] = process.argv.slice(2);
if (!name) {
  console.error("usage: node ledger.mjs PREFIX NAME");
  process.exit(2);
}
// Above what the tests have in flight on one connection, so that a hanging worker never sheds what it should hang on.
const IN_FLIGHT_MAX = 4096;
const METHODS = ["get", "put", "delete", "post", "patch"];
const WITH_BODY = ["PUT", "POST", "PATCH"];
const NONCE = /n_[0-9a-f]{32}/;

const worker = `${name}-${process.pid}`;
const log = openSync(join(process.env.RUNS_DIR ?? ".", `runs-${worker}.log`), "a");
let cancelled = 0;

const app = hera({ version: "ledger", inFlight: IN_FLIGHT_MAX });

app.use((req, _res, next) => {
  const nonce = req.path.match(NONCE)?.[0];
  // Of a chain of calls the innermost counts as run.
  if (nonce && !/\/deep\/[1-9]/.test(req.path)) {
    // One write of a whole line to a file that is only added to: a process that is killed leaves all of the line or none.
    const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
    writeSync(log, `${nonce} ${req.method} ${micros} ${worker}\n`);
  }
  next();
});

/** What a call is answered: its nonce, unless its body was that of another call. */
function answer(req) {
  const { nonce } = req.params;
  const body = req.rawBody?.toString("latin1") ?? "";
  const fits = WITH_BODY.includes(req.method) ? body.match(NONCE)?.[0] === nonce : body === "";
  return JSON.stringify({ nonce: fits ? nonce : `not in ${body.length} bytes of body`, worker: name });
}

async function later(req, res) {
  await sleep(Number(req.query.ms ?? 0));
  res.type("txt").send(answer(req));
}

async function stream(req, res) {
  const text = answer(req);
  const step = Math.ceil(text.length / Math.max(Number(req.query.pieces ?? 1), 1));
  for (let from = 0; from < text.length && !res.destroyed; from += step) {
    res.write(text.slice(from, from + step));
    await sleep(Number(req.query.ms ?? 0));
  }
  res.end();
}

/** Answers at the bottom; above it, passes on what the call below is answered, or how the bus failed. */
async function deep(req, res) {
  const below = Number(req.params.calls) - 1;
  if (below < 0) return res.type("txt").send(answer(req));
  try {
    const headers = { "content-type": "application/json" };
    const options = { headers, body: req.rawBody?.length ? req.rawBody : undefined, stream: true };
    const reply = await req.call(`${req.method} ${prefix}/deep/${below}/${req.params.nonce}`, options);
    const pieces = [];
    for await (const piece of reply.body) pieces.push(piece);
    for (const name of ["content-type", "x-executed"]) {
      if (reply.headers[name]) res.set(name, reply.headers[name]);
    }
    res.status(reply.status).send(Buffer.concat(pieces));
  } catch (error) {
    if (error.executed === undefined) throw error;
    const { code, executed, status } = error;
    res.status(Math.max(status, 400)).set("x-executed", executed).type("application/problem+json");
    res.send(JSON.stringify({ status, code }));
  }
}

function hang(req) {
  req.signal.addEventListener("abort", () => {
    cancelled += 1;
  });
}

for (const method of METHODS) {
  app[method](`${prefix}/now/:nonce`, (req, res) => res.type("txt").send(answer(req)));
  app[method](`${prefix}/slow/:nonce`, later);
  app[method](`${prefix}/again/:nonce`, { idempotent: true }, later);
  app[method](`${prefix}/stream/:nonce`, stream);
  app[method](`${prefix}/deep/:calls/:nonce`, deep);
  app[method](`${prefix}/hang/:nonce`, hang);
}
app.get(`${prefix}/at/${name}/cancelled`, (_req, res) => res.json(cancelled));

await app.connect();
console.log("connected");

/** The player's worker in Node: what it serves stands in `spec/scenarios/README.md`. */
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import hera from "../../clients/node/dist/index.js";

const MIB = 1024 * 1024;
const PIECE = Buffer.alloc(1000, "x");
const seen = { started: 0, finished: 0, cancelled: 0 };

const app = hera();
app.get("/s/hello", (_req, res) => res.type("text").send("hello"));
app.post("/s/echo", { stream: true }, (req, res) => {
  // Express would add a charset to what `set` gets.
  res.setHeader("content-type", req.get("content-type"));
  return pipeline(req, res);
});
app.get("/s/params/:id", (req, res) => res.json({ id: req.params.id, q: req.query.q ?? null }));
app.get("/s/status/:code", (req, res) => {
  res.status(Number(req.params.code)).set("x-code", req.params.code).type("text").send("status");
});
app.get("/s/throw", () => {
  throw new Error("secret text");
});
app.get("/s/context", (req, res) => {
  const left = req.deadline - Date.now();
  const { token, service, labels } = req.caller;
  res.json({
    request_id: req.id,
    token,
    service: service ?? null,
    team: labels.team ?? null,
    trace: req.get("traceparent") ?? null,
    in_time: left > 0 && left <= 60_000,
  });
});

app.get("/s/slow/:ms", { timeout: 60_000 }, async (req, res) => {
  seen.started++;
  try {
    await sleep(Number(req.params.ms), undefined, { signal: req.signal });
  } catch {
    seen.cancelled++;
    return;
  }
  seen.finished++;
  res.type("text").send("slow");
});
app.get("/s/seen", (_req, res) => res.json(seen));

app.post("/s/small", { bodyLimit: 10, stream: true }, count);
app.post("/s/count", { bodyLimit: 16 * MIB, stream: true }, count);
async function count(req, res) {
  let bytes = 0;
  for await (const piece of req) bytes += piece.length;
  res.type("text").send(String(bytes));
}
app.get("/s/stream/:pieces", (req, res) => {
  const pieces = function* () {
    for (let n = 0; n < Number(req.params.pieces); n++) yield PIECE;
  };
  return pipeline(pieces, res);
});
app.get("/s/cut", (_req, res) => {
  res.write(PIECE);
  throw new Error("no more");
});

/** What `/s/call` tells of a call that the bus failed. */
const failure = ({ code, executed, status }) => ({ code, executed, status });
const text = ({ body }) => (typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body));

app.get("/s/call", async (req, res) => {
  const timeout = req.get("x-timeout") && Number(req.get("x-timeout"));
  try {
    const reply = await req.call(req.get("x-call"), { timeout });
    res.json({ status: reply.status, body: text(reply) });
  } catch (error) {
    if (error.executed === undefined) throw error;
    res.json(failure(error));
  }
});
app.get("/s/parallel/:count", async (req, res) => {
  const replies = await Promise.all(Array.from({ length: Number(req.params.count) }, () => req.call("GET /s/hello")));
  res.type("text").send(String(replies.filter(({ ok }) => ok).length));
});
app.post("/s/pass", { bodyLimit: 16 * MIB, stream: true }, async (req, res) => {
  const reply = await req.call("POST /s/count", { body: req });
  res.status(reply.status).type("text").send(text(reply));
});
app.get("/s/pull/:pieces", async (req, res) => {
  const reply = await req.call(`GET /s/stream/${req.params.pieces}`, { stream: true });
  await pipeline(reply.body, res.status(reply.status));
});

app.get("/s/nest/:depth", async (req, res) => {
  const depth = Number(req.params.depth);
  if (depth === 0) return res.type("text").send("bottom");
  const told = await req.call(`GET /s/nest/${depth - 1}`).catch(({ code }) => ({ status: 200, body: code }));
  res.status(told.status).type("text").send(text(told));
});
app.get("/s/loop", async (req, res) => {
  const told = await req.call("GET /s/loop").then(
    ({ status }) => String(status),
    ({ code }) => code,
  );
  res.type("text").send(told);
});

try {
  await app.connect();
} catch (error) {
  console.log(`refused ${error.code}`);
  process.exit(3);
}
console.log("ready");

// A worker whose handlers do everything wrong: `node bad-input.mjs`, HERA and SECRET in the environment.
import hera from "../../dist/index.js";

const app = hera();
const cycle = {};
cycle.self = cycle;
const texts = { crlf: "a\r\nx-evil: 1", nul: "a\0b", wide: "\u20ac" };

app.get("/pid", (_req, res) => res.json(process.pid));

// ---- answers that come twice, or too late

app.get("/twice", (_req, res) => {
  res.json("first");
  res.status(500).json("second");
  res.set("x-late", "1").send("third");
});
app.get("/twice/later", (_req, res) => {
  res.json("first");
  setTimeout(() => res.status(500).set("x-late", "1").json("second"), 1);
});
app.get("/twice/error", (_req, res, next) => {
  res.json("first");
  next(new Error("after the answer"));
});
app.get("/twice/reject", async (_req, res) => {
  res.json("first");
  throw new Error("after the answer");
});
app.get("/after-end", (_req, res) => {
  res.write("begin");
  res.end("!");
  res.write("more");
  res.end("more");
  setTimeout(() => res.write("more"), 1);
});
app.get("/after-cancel", { timeout: 60_000 }, (req, res) => {
  req.signal.addEventListener("abort", () => {
    setTimeout(() => {
      res.status(500).json("too late");
      res.write("more");
      res.end();
      console.log("answered after cancel");
    }, 1);
  });
  console.log("waits");
});

// ---- what cannot be sent

app.get("/json/cycle", (_req, res) => res.json(cycle));
app.get("/json/bigint", (_req, res) => res.json({ n: 1n }));
app.get("/json/later", (_req, res) => void setTimeout(() => res.json(cycle), 1));
app.get("/json/throws", (_req, res) => {
  res.json({
    toJSON() {
      throw new Error("no JSON of me");
    },
  });
});
app.get("/header/:kind", (req, res) => res.set("x-value", texts[req.params.kind]).json(1));
app.get("/header-later/:kind", (req, res) => {
  setTimeout(() => res.set("x-value", texts[req.params.kind]).json(1), 1);
});
app.get("/header-name", (_req, res) => res.set("x bad", "1").json(1));
app.get("/cookie", (_req, res) => res.cookie("a\r\nb", "1").json(1));
app.get("/redirect", (_req, res) => res.redirect("/x\r\nx-evil: 1"));
app.get("/status/:code", (req, res) => res.status(Number(req.params.code)).json(1));
app.get("/status-later/:code", (req, res) => void setTimeout(() => res.status(Number(req.params.code)).json(1), 1));
app.get("/write-head", (_req, res) => void setTimeout(() => res.writeHead(99).end(), 1));
app.get("/piece", (_req, res) => void setTimeout(() => res.end(42), 1));
app.get("/headers/many", (_req, res) => {
  for (let i = 0; i < 101; i++) res.append("x-many", String(i));
  res.json(1);
});
app.get("/headers/large", (_req, res) => res.set("x-large", "x".repeat(70_000)).json(1));

// ---- errors that are odd themselves

app.get("/throw/:what", (req) => {
  throw { string: "text", number: 7, object: Object.create(null), symbol: Symbol("odd"), proxy: hostile() }[
    req.params.what
  ];
});
app.get("/reject/nothing", () => Promise.reject());
app.get("/error-headers", () => {
  throw Object.assign(new Error("x"), { status: 400, headers: { "x-evil": "a\r\nb" } });
});

// ---- values that come from callers

app.all("/pollute{/:__proto__}{/:constructor}", (req, res) => {
  for (const values of [req.params, req.query, req.body, req.data, req.headers, req.cookies]) merge({}, values);
  res.json([{}.polluted ?? "clean", Object.prototype.polluted ?? "clean"]);
});

/** What a careless handler does. */
function merge(into, from) {
  for (const name in from) {
    if (typeof from[name] === "object" && from[name] !== null) {
      into[name] ??= {};
      merge(into[name], from[name]);
    } else into[name] = from[name];
  }
}

/** Throws at every look. */
function hostile() {
  const refuse = () => {
    throw new Error("looked at");
  };
  return new Proxy({}, { get: refuse, has: refuse, getPrototypeOf: refuse });
}

await app.connect();
console.log("connected to hera");

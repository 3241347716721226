import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createGzip, gunzipSync } from "node:zlib";
import compression from "compression";
import cookieParser from "cookie-parser";
import cors from "cors";
import session from "express-session";
import { body, matchedData, validationResult } from "express-validator";
import helmet from "helmet";
import morgan from "morgan";
import multer from "multer";
import { both } from "./both.mjs";

const HERE = fileURLToPath(import.meta.url);

test("together: all of it in one app, in the order of most apps", async (t) => {
  const logs = [];
  const { same } = await both(t, (app, { Router, json }) => {
    const lines = [];
    logs.push(lines);
    app.use(morgan(":method :url :status", { stream: { write: (line) => lines.push(line.trim()) } }));
    app.use(helmet(), cors({ origin: "https://shop.example", credentials: true }), compression({ threshold: 0 }));
    app.use(json(), cookieParser("secret"));
    app.use(session({ secret: "secret", resave: false, saveUninitialized: false }));
    const api = Router();
    api.get("/list", (_req, res) => res.json(Array.from({ length: 100 }, (_, id) => ({ id }))));
    api.post("/things", body("name").trim().notEmpty(), (req, res) => {
      const errors = validationResult(req);
      if (!errors.isEmpty()) return res.status(422).json(errors.array());
      res.cookie("last", matchedData(req).name, { signed: true }).status(201).json(matchedData(req));
    });
    api.post("/files", multer({ storage: multer.memoryStorage() }).single("file"), (req, res) =>
      res.json({ file: req.file ?? null }),
    );
    api.get("/broken", async () => {
      throw Object.assign(new Error("broken"), { status: 418 });
    });
    app.use("/api", api);
    app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ error: error.message }));
  });
  const headers = { "accept-encoding": "gzip", origin: "https://shop.example" };
  const list = await same({ path: "/api/list", headers }, ["content-length"]);
  assert.equal(JSON.parse(gunzipSync(list.body)).length, 100);
  assert.equal(list.headers["content-encoding"], "gzip");
  assert.equal(list.headers.vary, "Origin, Accept-Encoding");
  assert.ok(list.headers["content-security-policy"]);
  const made = await same({ method: "POST", path: "/api/things", headers, body: { name: " ann " } });
  assert.deepEqual([made.status, made.headers["set-cookie"].length], [201, 1]);
  assert.equal((await same({ method: "POST", path: "/api/things", headers, body: {} })).status, 422);
  assert.equal((await same({ method: "POST", path: "/api/files", body: {} })).status, 200);
  assert.equal((await same({ path: "/api/broken", headers })).status, 418);
  assert.deepEqual(logs[0], logs[1]);
  assert.equal(logs[0].length, 5);
});

test("together: an error that nobody handles keeps what middleware set, but not the encoding of an answer that is gone", async (t) => {
  const { each, lines } = await both(t, (app) => {
    app.use(helmet(), cors(), compression({ threshold: 0 }));
    app.get("/broken", (_req, res) => {
      res.set("Content-Encoding", "br").type("text");
      throw Object.assign(new Error("the secret text"), { status: 503, headers: { "Retry-After": "7" } });
    });
  });
  const { hera, express } = await each("/broken");
  assert.deepEqual([hera.status, express.status], [503, 503]);
  assert.equal(hera.headers["retry-after"], express.headers["retry-after"]);
  assert.equal(hera.headers["content-encoding"], undefined);
  assert.equal(hera.headers["content-type"], "application/problem+json");
  assert.doesNotMatch(hera.text, /secret/);
  assert.equal(hera.json().status, 503);
  assert.match(lines.join(), /\/broken/);
});

test("together: Node's own pipes and pipelines end in an answer", async (t) => {
  const { same } = await both(t, (app) => {
    const upper = () =>
      new Transform({
        transform(piece, _encoding, done) {
          done(null, piece.toString().toUpperCase());
        },
      });
    app.get("/pipe", (_req, res) => createReadStream(HERE).pipe(res.type("text")));
    app.get("/pipeline", async (_req, res) => {
      res.set("Content-Encoding", "gzip");
      await pipeline(createReadStream(HERE), upper(), createGzip(), res);
    });
    app.get("/generator", (_req, res) =>
      pipeline(async function* () {
        for (const piece of ["a", "b", "c"]) yield piece;
      }, res),
    );
    app.post("/echo", (req, res, next) => pipeline(req, upper(), res).catch(next));
  });
  assert.match((await same("/pipe")).text, /^import assert/);
  assert.match(gunzipSync((await same("/pipeline")).body).toString(), /^IMPORT ASSERT/);
  assert.equal((await same("/generator")).text, "abc");
  const echo = { method: "POST", path: "/echo", headers: { "content-type": "text/plain" } };
  assert.equal((await same({ ...echo, body: "hello" })).text, "HELLO");
  assert.equal((await same({ ...echo, body: Buffer.alloc(500_000, "a") })).text.length, 500_000);
});

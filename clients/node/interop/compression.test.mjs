import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import { brotliDecompressSync, createGunzip, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import compression from "compression";
import { both } from "./both.mjs";

const LONG = "Hera carries this text. ".repeat(200);
const accept = (encoding) => ({ "accept-encoding": encoding });

test("compression: gzip, deflate, br and nothing, as the caller accepts", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(compression());
    app.get("/text", (_req, res) => res.type("text").send(LONG));
  });
  const cases = [
    ["gzip", "gzip", gunzipSync],
    ["deflate", "deflate", inflateSync],
    ["br", "br", brotliDecompressSync],
    ["gzip, br", "br", brotliDecompressSync],
    ["gzip;q=0.5, deflate", "deflate", inflateSync],
    ["identity", undefined, (bytes) => bytes],
    ["gzip;q=0", undefined, (bytes) => bytes],
  ];
  for (const [accepted, encoding, decode] of cases) {
    const { headers, body } = await same({ path: "/text", headers: accept(accepted) }, ["content-length"]);
    assert.equal(headers["content-encoding"], encoding, accepted);
    assert.equal(decode(body).toString(), LONG);
    assert.equal(headers.vary, "Accept-Encoding");
    if (encoding) assert.ok(body.length < LONG.length / 10);
  }
});

test("compression: small answers stay as they are, and the threshold says what is small", async (t) => {
  const { same } = await both(t, (app) => {
    app.use("/default", compression());
    app.use("/none", compression({ threshold: 0 }));
    app.use("/high", compression({ threshold: "1mb" }));
    for (const path of ["/default", "/none", "/high"]) {
      app.get(`${path}/short`, (_req, res) => res.send("short"));
      app.get(`${path}/long`, (_req, res) => res.send(LONG));
    }
  });
  const encoded = async (path) => {
    const { headers } = await same({ path, headers: accept("gzip") }, ["content-length"]);
    return headers["content-encoding"];
  };
  assert.equal(await encoded("/default/short"), undefined);
  assert.equal(await encoded("/default/long"), "gzip");
  assert.equal(await encoded("/none/short"), "gzip");
  assert.equal(await encoded("/high/long"), undefined);
});

test("compression: types that gain nothing, answers that forbid it, and a filter of the app's own", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(compression({ filter: (req, res) => req.query.raw === undefined && compression.filter(req, res) }));
    app.get("/image", (_req, res) => res.type("png").send(Buffer.from(LONG)));
    app.get("/fixed", (_req, res) => res.set("Cache-Control", "no-transform").send(LONG));
    app.get("/text", (_req, res) => res.send(LONG));
    app.get("/empty", (_req, res) => res.status(204).end());
  });
  for (const path of ["/image", "/fixed", "/text?raw=1", "/empty"]) {
    const { headers } = await same({ path, headers: accept("gzip") }, ["content-length"]);
    assert.equal(headers["content-encoding"], undefined, path);
  }
});

test("compression: what is encoded already is not encoded again", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(compression());
    app.get("/ready", (_req, res) => res.type("text").set("Content-Encoding", "gzip").send(gzipSync(LONG)));
  });
  const { headers, body } = await same({ path: "/ready", headers: accept("gzip, br") });
  assert.equal(headers["content-encoding"], "gzip");
  assert.equal(gunzipSync(body).toString(), LONG);
});

test("compression: HEAD has no body, and a conditional call is answered 304", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(compression());
    app.get("/text", (_req, res) => res.send(LONG));
  });
  const head = await same({ method: "HEAD", path: "/text", headers: accept("gzip") });
  assert.equal(head.body.length, 0);
  assert.equal(head.headers["content-encoding"], undefined);
  const { headers } = await same({ path: "/text", headers: accept("gzip") }, ["content-length"]);
  const again = await same({ path: "/text", headers: { ...accept("gzip"), "if-none-match": headers.etag } });
  assert.equal(again.status, 304);
});

test("compression: JSON of over a megabyte arrives whole", async (t) => {
  const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, name: `row ${id}`, even: id % 2 === 0, text: "æøå" }));
  const { same } = await both(t, (app) => {
    app.use(compression());
    app.get("/rows", (_req, res) => res.json(rows));
  });
  for (const [encoding, decode] of [
    ["gzip", gunzipSync],
    ["br", brotliDecompressSync],
    ["identity", (bytes) => bytes],
  ]) {
    const { body } = await same({ path: "/rows", headers: accept(encoding) }, ["content-length"]);
    const text = decode(body);
    assert.ok(text.length > 1_000_000);
    assert.deepEqual(JSON.parse(text), rows);
  }
});

test("compression: pieces that are written one by one, then the end", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(compression());
    app.get("/pieces", async (_req, res) => {
      res.type("text");
      for (let i = 0; i < 50; i++) {
        if (!res.write(`${i} ${LONG}`)) await once(res, "drain");
      }
      res.end("the end");
    });
  });
  const { headers, body } = await same({ path: "/pieces", headers: accept("gzip") });
  assert.equal(headers["content-encoding"], "gzip");
  const text = gunzipSync(body).toString();
  assert.ok(text.startsWith("0 Hera") && text.includes("49 Hera") && text.endsWith("the end"));
});

test("compression: flush sends what is written so far while the answer goes on", async (t) => {
  const goOn = [];
  const { targets } = await both(t, (app) => {
    app.use(compression());
    app.get("/events", (_req, res) => {
      res.type("text/event-stream");
      res.write("data: first\n\n");
      res.flush();
      goOn.push(() => res.end("data: last\n\n"));
    });
  });
  for (const target of [targets.express, targets.hera]) {
    const req = request(`${target}/events`, { headers: accept("gzip"), agent: false }).end();
    const [res] = await once(req, "response");
    assert.equal(res.headers["content-encoding"], "gzip");
    const gunzip = res.pipe(createGunzip());
    const [first] = await once(gunzip, "data");
    assert.equal(first.toString(), "data: first\n\n");
    const rest = [];
    gunzip.on("data", (part) => rest.push(part));
    goOn.shift()();
    await once(gunzip, "end");
    assert.equal(Buffer.concat(rest).toString(), "data: last\n\n");
  }
});

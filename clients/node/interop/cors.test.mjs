import assert from "node:assert/strict";
import { test } from "node:test";
import cors from "cors";
import { both, call } from "./both.mjs";

const ORIGIN = { origin: "https://shop.example" };
const preflight = (path, headers = {}) => ({
  method: "OPTIONS",
  path,
  headers: { ...ORIGIN, "access-control-request-method": "PUT", ...headers },
});

test("cors: any origin, for simple calls and preflights", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cors());
    app.get("/things", (_req, res) => res.json(["a"]));
    app.put("/things", (req, res) => res.json(req.body ?? null));
  });
  const simple = await same({ path: "/things", headers: ORIGIN });
  assert.equal(simple.headers["access-control-allow-origin"], "*");
  await same("/things");
  const { status, headers } = await same(
    preflight("/things", { "access-control-request-headers": "x-a, content-type" }),
  );
  assert.equal(status, 204);
  assert.equal(headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
  assert.equal(headers["access-control-allow-headers"], "x-a, content-type");
  assert.equal(headers.vary, "Access-Control-Request-Headers");
});

test("cors: credentials, exposed headers, ages and a list of origins", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(
      cors({
        origin: ["https://shop.example", /\.partner\.example$/],
        credentials: true,
        exposedHeaders: ["X-Total", "X-Page"],
        maxAge: 600,
        methods: ["GET", "PUT"],
        allowedHeaders: ["X-A"],
        optionsSuccessStatus: 200,
      }),
    );
    app.get("/things", (_req, res) => res.vary("Accept").json(["a"]));
    app.put("/things", (_req, res) => res.json({}));
  });
  const { headers } = await same({ path: "/things", headers: ORIGIN });
  assert.equal(headers["access-control-allow-origin"], "https://shop.example");
  assert.equal(headers["access-control-allow-credentials"], "true");
  assert.equal(headers.vary, "Origin, Accept");
  await same({ path: "/things", headers: { origin: "https://a.partner.example" } });
  const stranger = await same({ path: "/things", headers: { origin: "https://stranger.example" } });
  assert.equal(stranger.headers["access-control-allow-origin"], undefined);
  const { status, headers: answered } = await same(preflight("/things"));
  assert.equal(status, 200);
  assert.equal(answered["access-control-max-age"], "600");
  await same(preflight("/things", { origin: "https://stranger.example" }));
});

test("cors: options of one route, and its preflight declared by hand", async (t) => {
  const { same } = await both(t, (app) => {
    const own = cors({ origin: "https://shop.example", methods: "DELETE" });
    app.options("/open/:id", own);
    app.delete("/open/:id", own, (req, res) => res.json({ deleted: req.params.id }));
    app.get("/closed", (_req, res) => res.json({}));
  });
  const { status, headers } = await same(preflight("/open/7", { "access-control-request-method": "DELETE" }));
  assert.equal(status, 204);
  assert.equal(headers["access-control-allow-methods"], "DELETE");
  await same({ method: "DELETE", path: "/open/7", headers: ORIGIN });
  const closed = await same({ path: "/closed", headers: ORIGIN });
  assert.equal(closed.headers["access-control-allow-origin"], undefined);
});

test("cors: options that a callback decides, and an origin that it refuses with an error", async (t) => {
  const { same } = await both(t, (app) => {
    const byPath = (req, done) => done(null, { origin: req.path === "/open" });
    app.use("/never", cors({ origin: (_origin, done) => done(Object.assign(new Error("no"), { status: 403 })) }));
    app.get(["/open", "/shut"], cors(byPath), (_req, res) => res.json({}));
    app.get("/never", (_req, res) => res.json({}));
    app.use((error, _req, res, _next) => res.status(error.status).json({ error: error.message }));
  });
  assert.equal(
    (await same({ path: "/open", headers: ORIGIN })).headers["access-control-allow-origin"],
    "https://shop.example",
  );
  assert.equal((await same({ path: "/shut", headers: ORIGIN })).headers["access-control-allow-origin"], undefined);
  assert.equal((await same({ path: "/never", headers: ORIGIN })).status, 403);
});

test("cors: preflightContinue leaves the answer to the route", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cors({ preflightContinue: true }));
    app.options("/things", (_req, res) => res.status(202).json({ own: true }));
    app.put("/things", (_req, res) => res.json({}));
    app.put("/plain", (_req, res) => res.json({}));
  });
  assert.equal((await same(preflight("/things"))).status, 202);
  assert.equal((await same(preflight("/plain"))).headers["access-control-allow-origin"], "*");
});

test("cors: a preflight brings no token, so a record of OPTIONS for anybody lets it in and nothing else", async (t) => {
  const { broker, targets, each } = await both(
    t,
    (app) => {
      app.use(cors({ allowedHeaders: ["Hera-Token", "Content-Type"], origin: true, credentials: true }));
      app.put("/things/:id", (req, res) => res.json({ id: req.params.id, got: req.body }));
    },
    { rights: ["OPTIONS /**"] },
  );
  const asked = preflight("/things/1", { "access-control-request-headers": "hera-token, content-type" });
  const { express, hera } = await each(asked);
  assert.equal(hera.status, 204);
  assert.equal(hera.headers["access-control-allow-origin"], "https://shop.example");
  assert.equal(hera.headers["access-control-allow-headers"], "Hera-Token,Content-Type");
  for (const name of ["origin", "methods", "headers", "credentials"]) {
    const full = `access-control-allow-${name}`;
    assert.equal(hera.headers[full], express.headers[full], full);
  }

  const put = { method: "PUT", path: "/things/1", headers: { ...ORIGIN }, body: { a: 1 } };
  const refused = await call(targets.hera, put);
  assert.equal(refused.status, 403);
  const token = await broker.token("PUT /things/**");
  const served = await call(targets.hera, { ...put, headers: { ...ORIGIN, "hera-token": token } });
  assert.deepEqual([served.status, served.json()], [200, { id: "1", got: { a: 1 } }]);
  assert.equal(served.headers["access-control-allow-origin"], "https://shop.example");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import express from "express";
import { both, hera } from "./both.mjs";

const where = (req, res) => res.json([req.method, req.baseUrl, req.url, req.originalUrl, req.params]);

test("express.Router: as a handler it finds its way, and leaves the request as it was", async (t) => {
  const { same } = await both(t, (app) => {
    const router = express.Router();
    router.get("/users/:id", where);
    router.post("/users", where);
    router.use("/deep", express.Router().get("/:a/:b", where));
    router.get("/broken", async () => {
      throw new Error("broken");
    });
    app.use("/api", router);
    // A router that is not Hera's own declares nothing, so its paths are declared here.
    app.all("/api/*rest", (req, res) => res.status(404).json(["went on", req.baseUrl, req.url, req.originalUrl]));
    app.use((error, req, res, _next) => res.status(500).json([error.message, req.baseUrl, req.url, req.originalUrl]));
  });
  assert.deepEqual((await same("/api/users/7?a=1")).json(), [
    "GET",
    "/api",
    "/users/7?a=1",
    "/api/users/7?a=1",
    { id: "7" },
  ]);
  await same({ method: "POST", path: "/api/users" });
  await same("/api/deep/x/y");
  assert.equal((await same("/api/none?b=2")).status, 404);
  assert.equal((await same("/api/broken")).status, 500);
});

test("express.Router: it may be the handler of a route", async (t) => {
  const { same } = await both(t, (app) => {
    app.all("/all/*rest", express.Router().get("/all/:x", where));
  });
  assert.equal((await same("/all/1")).status, 200);
});

test("express(): a whole app is refused when it is mounted, its router is taken", async (t) => {
  const inner = express();
  inner.get("/users/:id", where);
  const app = hera({ log: false });
  for (const mount of [() => app.use(inner), () => app.use("/api", [inner]), () => app.get("/api", inner)]) {
    assert.throws(mount, { name: "HeraError", code: "bad_option", message: /its router can/ });
  }
  const { same } = await both(t, (outer) => {
    outer.use("/api", inner.router);
    outer.all("/api/*rest", (_req, res) => res.sendStatus(404));
  });
  assert.deepEqual((await same("/api/users/7")).json(), ["GET", "/api", "/users/7", "/api/users/7", { id: "7" }]);
});

test("express.json and express.urlencoded: they do no harm where they are left in", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(express.json(), express.urlencoded());
    app.post("/shown", (req, res) => res.json(req.body ?? "none"));
  });
  assert.deepEqual((await same({ method: "POST", path: "/shown", body: { a: 1 } })).json(), { a: 1 });
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  assert.deepEqual((await same({ method: "POST", path: "/shown", headers, body: "a=1&b=2" })).json(), {
    a: "1",
    b: "2",
  });
  assert.equal((await same({ method: "POST", path: "/shown" })).json(), "none");
});

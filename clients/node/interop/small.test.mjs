/** Middleware of which little is to be shown. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rateLimit } from "express-rate-limit";
import methodOverride from "method-override";
import responseTime from "response-time";
import { both } from "./both.mjs";

test("express-rate-limit: counts by the caller's address, tells the rest, and refuses with 429", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(rateLimit({ windowMs: 600_000, limit: 2, standardHeaders: "draft-8", legacyHeaders: true }));
    app.get("/a", (req, res) => res.json(req.rateLimit.used));
  });
  const moment = ["x-ratelimit-reset", "ratelimit", "retry-after"];
  for (const used of [1, 2]) {
    const { headers, json } = await same("/a", moment);
    assert.deepEqual([json(), headers["x-ratelimit-remaining"]], [used, String(2 - used)]);
  }
  const { status, text, headers } = await same("/a", moment);
  assert.deepEqual([status, text], [429, "Too many requests, please try again later."]);
  assert.ok(Number(headers["retry-after"]) > 0);
});

test("express-rate-limit: a key, a limit and an answer of the app's own", async (t) => {
  const { same } = await both(t, (app) => {
    const limiter = rateLimit({
      legacyHeaders: false,
      keyGenerator: (req) => req.get("x-user") ?? "",
      limit: (req) => Number(req.get("x-limit")),
      skip: (req) => req.path === "/free",
      handler: (_req, res, _next, { statusCode }) => res.status(statusCode).json({ slow: "down" }),
    });
    app.get(["/a", "/free"], limiter, (_req, res) => res.send("served"));
  });
  const get = (user, path = "/a") => same({ path, headers: { "x-user": user, "x-limit": "1" } });
  assert.deepEqual([(await get("ann")).status, (await get("bob")).status], [200, 200]);
  assert.deepEqual((await get("ann")).json(), { slow: "down" });
  assert.equal((await get("ann", "/free")).status, 200);
});

test("method-override: a POST that says DELETE in its query is one to the layers; in a header the broker drops it", async (t) => {
  const { same, each } = await both(t, (app) => {
    app.use(methodOverride("X-HTTP-Method-Override"), methodOverride("_method"));
    const answer = (req, res) => res.json([req.method, req.originalMethod ?? null]);
    app.post("/a", answer);
    app.delete("/a", answer);
  });
  const headers = { "x-http-method-override": "DELETE" };
  // What a caller may do is judged by the method, so it cannot be said to be another behind the broker's back.
  const { hera, express } = await each({ method: "POST", path: "/a", headers });
  assert.deepEqual(
    [hera.json(), express.json()],
    [
      ["POST", "POST"],
      ["DELETE", "POST"],
    ],
  );
  assert.deepEqual((await same({ method: "POST", path: "/a?_method=DELETE" })).json(), ["DELETE", "POST"]);
  assert.deepEqual((await same({ method: "POST", path: "/a" })).json(), ["POST", "POST"]);
});

test("response-time: the header is there by the time the head is written", async (t) => {
  const { each } = await both(t, (app) => {
    app.use(responseTime());
    app.get("/a", (_req, res) => res.send("x"));
    app.get("/pieces", (_req, res) => {
      res.write("a");
      res.end("b");
    });
  });
  for (const path of ["/a", "/pieces"]) {
    const { hera, express } = await each(path);
    for (const { headers } of [hera, express]) assert.match(headers["x-response-time"], /^\d+\.\d{3}ms$/);
  }
});

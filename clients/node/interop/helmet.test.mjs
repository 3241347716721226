import assert from "node:assert/strict";
import { test } from "node:test";
import helmet from "helmet";
import { both } from "./both.mjs";

test("helmet: all its headers arrive as from Express", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(helmet());
    app.get("/page", (_req, res) => res.send("<p>hello</p>"));
    app.get("/data", (_req, res) => res.json({ a: 1 }));
  });
  const { headers } = await same("/page");
  const names = [
    "content-security-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "origin-agent-cluster",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-download-options",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-xss-protection",
  ];
  for (const name of names) assert.ok(headers[name], name);
  assert.equal(headers["x-powered-by"], undefined);
  await same("/data");
  await same({ method: "HEAD", path: "/page" });
});

test("helmet: options, and a policy that is made for each call", async (t) => {
  const { same } = await both(t, (app) => {
    app.use((_req, res, next) => {
      res.locals.nonce = "abc123";
      next();
    });
    app.use(
      helmet({
        contentSecurityPolicy: {
          directives: {
            defaultSrc: ["'self'"],
            scriptSrc: ["'self'", (_req, res) => `'nonce-${res.locals.nonce}'`],
            upgradeInsecureRequests: null,
          },
          reportOnly: true,
        },
        crossOriginEmbedderPolicy: true,
        frameguard: { action: "deny" },
        hsts: { maxAge: 300, includeSubDomains: false, preload: true },
        referrerPolicy: { policy: ["origin", "strict-origin"] },
        xDnsPrefetchControl: false,
      }),
    );
    app.get("/page", (_req, res) => res.send("x"));
  });
  const { headers } = await same("/page");
  assert.match(headers["content-security-policy-report-only"], /'nonce-abc123'/);
  assert.equal(headers["x-frame-options"], "DENY");
  assert.equal(headers["x-dns-prefetch-control"], undefined);
});

test("helmet: a single middleware at one path, and its headers on an answer with an error", async (t) => {
  const { same } = await both(t, (app) => {
    app.use("/safe", helmet.xFrameOptions({ action: "sameorigin" }), helmet.noSniff());
    app.get("/safe/page", (_req, res) => res.send("x"));
    app.get("/safe/broken", () => {
      throw new Error("broken");
    });
    app.get("/other", (_req, res) => res.send("x"));
    app.use((_error, _req, res, _next) => res.status(500).json({ error: "handled" }));
  });
  const { headers } = await same("/safe/page");
  assert.equal(headers["x-frame-options"], "SAMEORIGIN");
  assert.equal((await same("/safe/broken")).headers["x-content-type-options"], "nosniff");
  assert.equal((await same("/other")).headers["x-frame-options"], undefined);
});

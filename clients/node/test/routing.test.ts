import assert from "node:assert/strict";
import { test } from "node:test";
import type { App } from "../src/app.js";
import { type ErrorHandler, HeraError, hera } from "../src/index.js";
import type { Worker } from "./fake-broker.js";
import { connected } from "./fixture.js";

async function answer(worker: Worker, endpoint: string, params = {}, body?: Buffer) {
  const { message, attachment } = await worker.ask(endpoint, params, body);
  assert.ok(message.result, JSON.stringify(message));
  return { status: message.result.status as number, text: attachment.toString() };
}

test("layers run in the order in which they were made", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.use((_req, res, next) => {
      res.locals.seen = ["use"];
      next();
    });
    app.get(
      "/0/a/:id",
      (_req, res, next) => {
        (res.locals.seen as string[]).push("first");
        next();
      },
      (req, res, next) => {
        (res.locals.seen as string[]).push(`second ${req.params.id}`);
        next();
      },
    );
    app.all("/0/a/*rest", (req, res) => res.json([...(res.locals.seen as string[]), req.params.rest]));
    app.get("/0/a/b", (_req, res) => res.json("never"));
  });

  const { text } = await answer(worker, "GET /0/a/{id}", { path: "/0/a/b" });

  assert.deepEqual(JSON.parse(text), ["use", "first", "second b", ["b"]]);
});

test("next('route') leaves the layer", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.get(
      "/0/a",
      (_req, _res, next) => next("route"),
      (_req, res) => res.json("same layer"),
    );
    app.get("/0/a", (_req, res) => res.json("next layer"));
  });

  assert.equal((await answer(worker, "GET /0/a")).text, '"next layer"');
});

test("use with a path takes it off url, path and nothing else", async (t) => {
  const { worker } = await connected(t, (app) => {
    const seen: unknown[] = [];
    app.use("/0/a", (req, _res, next) => {
      seen.push([req.baseUrl, req.path, req.url, req.originalUrl]);
      next();
    });
    app.use("/0/ab", () => seen.push("not a segment"));
    app.use("/0/:x/c", (req, _res, next) => {
      seen.push([req.baseUrl, req.path, req.params.x]);
      next();
    });
    app.get("/0/a/*rest", (req, res) => res.json([...seen, [req.baseUrl, req.path, req.url]]));
  });

  const { text } = await answer(worker, "GET /0/a/{*rest}", { path: "/0/a/c", query: "q=1", target: "/0/a/c/?q=1" });

  assert.deepEqual(JSON.parse(text), [
    ["/0/a", "/c/", "/c/?q=1", "/0/a/c/?q=1"],
    ["/0/a/c", "/", "a"],
    ["", "/0/a/c/", "/0/a/c/?q=1"],
  ]);
});

test("error skips to the error handlers, which may recover", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.get("/0/next", (_req, _res, next) => next(new Error("next")));
    app.get("/0/throw", () => {
      throw new Error("throw");
    });
    app.get("/0/reject", async () => {
      throw new Error("reject");
    });
    app.get("/0/nothing", () => Promise.reject());
    app.use((_req, res) => res.json("not for errors"));
    const mark = ((error: Error, _req, _res, next) => next(new Error(`${error.message}!`))) satisfies ErrorHandler;
    const recover: ErrorHandler = (error: Error, _req, res, _next) => res.status(418).json(error.message);
    app.use(mark, recover);
  });

  for (const name of ["next", "throw", "reject"]) {
    assert.deepEqual(await answer(worker, `GET /0/${name}`), { status: 418, text: `"${name}!"` });
  }
  assert.equal((await answer(worker, "GET /0/nothing")).status, 418);
});

test("error that nobody handles is handler_failed, told to the log alone, and the process lives", async (t) => {
  const { worker, lines } = await connected(t, (app) => {
    app.get("/0/a", () => {
      throw new Error("secret detail");
    });
    app.get("/0/b", (_req, res) => res.json("alive"));
  });

  const { message, attachment } = await worker.ask("GET /0/a");

  assert.equal(message.error.data.code, "handler_failed");
  assert.ok(!JSON.stringify(message).includes("secret detail") && attachment.length === 0);
  assert.ok(lines.some(([, error]) => (error as Error | undefined)?.message === "secret detail"));
  assert.equal((await answer(worker, "GET /0/b")).text, '"alive"');
});

test("error with a status gives that status and keeps its text", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", (_req, _res, next) => next(Object.assign(new Error("why"), { status: 403 }))),
  );

  const { status, text } = await answer(worker, "GET /0/a");

  assert.equal(status, 403);
  assert.equal(JSON.parse(text).title, "Forbidden");
  assert.ok(!text.includes("why"));
});

test("call that no layer answers is a 404 problem", async (t) => {
  const { worker } = await connected(t, (app) => app.get("/0/a", (_req, _res, next) => next()));

  for (const path of ["/0/a", "/0/other"]) {
    const { message, attachment } = await worker.ask("GET /0/a", { path });
    assert.equal(message.result.status, 404);
    assert.deepEqual(message.result.headers, [["content-type", "application/problem+json"]]);
    const problem = JSON.parse(attachment.toString());
    assert.deepEqual([problem.status, problem.code], [404, "not_found"]);
  }
});

test("HEAD goes to the handlers of GET", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/a", (req, res) => res.set("x-method", req.method).json(1)),
  );

  const { message } = await worker.ask("GET /0/a", { method: "HEAD" });

  assert.deepEqual(message.result.headers[0], ["x-method", "HEAD"]);
});

test("thousands of layers that all go on do not overflow the stack", async (t) => {
  const { worker } = await connected(t, (app) => {
    for (let i = 0; i < 20_000; i++) app.use((_req, _res, next) => next());
    app.get("/0/a", (_req, res) => res.json("end"));
  });

  assert.equal((await answer(worker, "GET /0/a")).text, '"end"');
});

test("same endpoint twice is declared once", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.get("/0/:a", (_req, _res, next) => next());
    app.get("/0/:b", { timeout: 7 }, (req, res) => res.json(req.params));
  });

  assert.deepEqual(worker.endpoints, [{ endpoint: "GET /0/{a}", timeout_ms: 7 }, { endpoint: "OPTIONS /0/{a}" }]);
  assert.equal((await answer(worker, "GET /0/{a}", { path: "/0/x%20y" })).text, '{"b":"x y"}');
});

test("pattern that cannot be declared is refused where it stands, by name", () => {
  const app: App = hera({ brokers: "hera://x", signals: false });
  const patterns: unknown[] = [
    "/",
    "",
    "a",
    "//",
    "/a//b",
    "/a/../b",
    "/-/x",
    "/a/:id.json",
    "/a/:a-:b",
    "/a/{id}",
    ["/a", "/"],
    "/a/*",
    "/a/*x/b",
    "/a/:1",
    "/(a|b)",
    "/ab?c",
    "/a+",
    "/a b",
    "/%2F",
    `/${"x/".repeat(64)}y`,
    /a/,
    undefined,
  ];
  for (const pattern of patterns) {
    assert.throws(
      () => app.get(pattern as string, () => {}),
      (error) =>
        error instanceof HeraError &&
        error.code === "bad_endpoint" &&
        error.message.includes(JSON.stringify(Array.isArray(pattern) ? "/" : String(pattern)).slice(0, 40)),
      String(pattern),
    );
  }
  assert.throws(() => app.post("/a"), { code: "bad_option" });
  assert.throws(() => app.get("/a", "x" as never), { code: "bad_option" });
  assert.throws(() => app.get("/a", { timeout: 0 }, () => {}), { code: "bad_option" });
  assert.throws(() => app.get("/a", { wrong: 1 } as never, () => {}), { code: "bad_option" });
});

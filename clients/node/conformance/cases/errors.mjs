/** Errors: how they are raised, who handles them, and what is left. */

const fail = (text) => () => {
  throw new Error(text);
};
const tell = (error, _req, res, _next) => res.status(error.status ?? 500).json([error.message ?? String(error)]);

/** A route that fails, in front of an error handler that tells of it. */
const handled = (name, handler) => ({
  name,
  app(app) {
    app.get("/a", handler);
    app.use(tell);
  },
  requests: ["GET /a"],
});

export default {
  title: "errors",
  cases: [
    handled("error that is thrown", fail("thrown")),
    handled("error that is handed to next", (_req, _res, next) => next(new Error("handed"))),
    handled("error from a callback", (_req, _res, next) => void setImmediate(() => next(new Error("later")))),
    handled("promise that rejects", async () => {
      throw new Error("rejected");
    }),
    handled("promise that rejects later", async () => {
      await new Promise((done) => setImmediate(done));
      throw new Error("rejected later");
    }),
    handled("promise of another make that rejects", () => ({
      // biome-ignore lint/suspicious/noThenProperty: a promise of another make.
      then: (_done, failed) => void failed(new Error("thenable")),
    })),
    handled("promise that rejects with a text", () => Promise.reject("only text")),
    handled("text that is thrown", () => {
      throw "only text";
    }),
    handled("number that is handed to next", (_req, _res, next) => next(7)),
    handled("object that is handed to next", (_req, _res, next) => next({ message: "object", status: 409 })),
    handled("error with a status", (_req, _res, next) => next(Object.assign(new Error("gone"), { status: 410 }))),
    handled("TypeError of a handler", (req) => req.nothing.at.all),
    {
      name: "promise that rejects with nothing is an error all the same",
      app(app) {
        app.get("/a", () => Promise.reject());
        app.use((error, _req, res, _next) => res.status(500).json(error instanceof Error));
      },
      requests: ["GET /a"],
    },
    {
      name: "error handlers run in order, each may hand on",
      app(app) {
        app.get("/a", fail("x"));
        app.use((error, _req, res, next) => {
          res.append("x-by", "first");
          next(error);
        });
        app.use((_error, _req, res, next) => {
          res.append("x-by", "second");
          next(new Error("another"));
        });
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler that calls next without an error is back on the way",
      app(app) {
        app.get("/a", fail("x"));
        app.use((_error, _req, res, next) => {
          res.set("x-recovered", "1");
          next();
        });
        app.use((_error, _req, res, _next) => res.send("never"));
        app.get("/a", (_req, res) => res.send("recovered"));
      },
      requests: ["GET /a"],
    },
    {
      name: "error passes by ordinary middleware and routes",
      app(app) {
        app.use(fail("x"));
        app.use((_req, res) => res.send("never"));
        app.get("/a", (_req, res) => res.send("never"));
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler in front of the route is not asked",
      app(app) {
        app.use((_error, _req, res, _next) => res.send("never"));
        app.get("/a", fail("x"));
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler among the handlers of a route",
      app(app) {
        app.get("/a", fail("x"), tell, (_req, res) => res.send("never"));
        app.use((_error, _req, res, _next) => res.send("never"));
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler of a route that recovers goes on in the route",
      app(app) {
        app.get(
          "/a",
          fail("x"),
          (_error, _req, _res, next) => next(),
          (_req, res) => res.send("recovered"),
        );
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler in a route is passed by without an error",
      app(app) {
        app.get(
          "/a",
          (_req, _res, next) => next(),
          (_error, _req, res, _next) => res.send("never"),
          (_req, res) => res.send("end"),
        );
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler under a path takes errors of that path",
      app(app) {
        app.get("/a/x", fail("a"));
        app.get("/b/x", fail("b"));
        app.use("/a", (error, req, res, _next) => res.json(["a", error.message, req.baseUrl, req.url]));
        app.use((error, _req, res, _next) => res.json(["any", error.message]));
      },
      requests: ["GET /a/x", "GET /b/x"],
    },
    {
      name: "error handler in a router takes errors of the router",
      app(app, lib) {
        const router = lib.Router().get("/x", fail("inside"));
        router.use((error, _req, res, _next) => res.json(["router", error.message]));
        app.use("/r", router);
        app.get("/x", fail("outside"));
        app.use((error, _req, res, _next) => res.json(["app", error.message]));
      },
      requests: ["GET /r/x", "GET /x"],
    },
    {
      name: "error leaves a router that has no handler for it",
      app(app, lib) {
        app.use("/r", lib.Router().get("/x", fail("inside")));
        app.use(
          "/r",
          lib.Router().get("/x", (_req, res) => res.send("never")),
        );
        app.use(tell);
      },
      requests: ["GET /r/x"],
    },
    {
      name: "error is not asked into a router behind it",
      app(app, lib) {
        app.get("/a", fail("x"));
        app.use(lib.Router().use((_error, _req, res, _next) => res.send("never")));
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler that throws hands its own error on",
      app(app) {
        app.get("/a", fail("first"));
        app.use((_error, _req, _res, _next) => {
          throw new Error("second");
        });
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handler that rejects hands its own error on",
      app(app) {
        app.get("/a", fail("first"));
        app.use(async (_error, _req, _res, _next) => {
          throw new Error("second");
        });
        app.use(tell);
      },
      requests: ["GET /a"],
    },
    {
      name: "error handlers in a list",
      app(app) {
        app.get("/a", fail("x"));
        app.use([
          (error, _req, res, next) => {
            res.set("x-first", "1");
            next(error);
          },
          tell,
        ]);
      },
      requests: ["GET /a"],
    },
    {
      name: "status that was set before the error is kept by a handler that sets none",
      app(app) {
        app.get("/a", (_req, res, next) => {
          res.status(418);
          next(new Error("teapot"));
        });
        app.use((error, _req, res, _next) => res.json(error.message));
      },
      requests: ["GET /a"],
    },
    {
      name: "headers that were set before the error are kept",
      app(app) {
        app.get("/a", (_req, res) => {
          res.set("x-before", "1").type("xml");
          throw new Error("x");
        });
        app.use((error, _req, res, _next) => res.status(500).send(error.message));
      },
      requests: ["GET /a"],
    },
    {
      name: "error in middleware keeps the route from running",
      app(app) {
        app.use((_req, _res, next) => next(new Error("closed")));
        app.get("/a", (_req, res) => res.send("never"));
        app.use(tell);
      },
      requests: ["GET /a", "HEAD /a"],
    },
    {
      name: "next('route') from an error handler of a route goes on behind the route",
      app(app) {
        app.get(
          "/a",
          fail("x"),
          (_error, _req, _res, next) => next("route"),
          (_req, res) => res.send("never"),
        );
        app.get("/a", (_req, res) => res.send("behind"));
      },
      requests: ["GET /a"],
    },
    {
      name: "JSON with a cycle is an error of the handler",
      app(app) {
        const cycle = {};
        cycle.self = cycle;
        app.get("/a", (_req, res) => res.json(cycle));
        app.get("/b", (_req, res) => res.json({ n: 1n }));
        app.use((error, _req, res, _next) => res.status(500).json([error.name, res.headersSent]));
      },
      requests: ["GET /a", "GET /b"],
    },
    ...[
      ["error that nobody handles", fail("secret"), 500, { code: "handler_failed" }],
      [
        "error with a status that nobody handles",
        (_q, _s, next) => next(Object.assign(new Error("secret"), { status: 404 })),
        404,
        { code: "handler_error" },
      ],
      [
        "error with a statusCode that nobody handles",
        (_q, _s, next) => next(Object.assign(new Error("secret"), { statusCode: 503 })),
        503,
        { code: "handler_error" },
      ],
      [
        "error with a status that is none",
        (_q, _s, next) => next(Object.assign(new Error("secret"), { status: 200 })),
        500,
        { code: "handler_failed" },
      ],
      ["text that nobody handles", (_q, _s, next) => next("secret"), 500, { code: "handler_failed" }],
    ].map(([name, handler, status, json]) => ({
      name,
      app(app) {
        app.get("/a", handler);
      },
      requests: ["GET /a"],
      differs: {
        id: "errors",
        why: "what broke is not the caller's to know",
        hera: [{ status, headers: { "content-type": "application/problem+json" }, json }],
      },
    })),
    {
      name: "headers that an error carries are sent with it",
      app(app) {
        app.get("/a", (_req, _res, next) =>
          next(Object.assign(new Error("slow down"), { status: 429, headers: { "Retry-After": "7" } })),
        );
      },
      requests: ["GET /a"],
      differs: {
        id: "errors",
        why: "one form of error from every service",
        hera: [{ status: 429, headers: { "retry-after": "7" }, json: { status: 429 } }],
      },
    },
    {
      name: "second answer of a handler",
      app(app) {
        app.get("/a", (_req, res) => {
          res.send("first");
          try {
            res.set("x-late", "1");
            res.status(500).send("second");
          } catch (error) {
            app.locals.code = error.code;
          }
        });
        app.get("/code", (_req, res) => res.json(app.locals.code ?? null));
      },
      requests: ["GET /a", "GET /code"],
      differs: {
        id: "second-answer",
        why: "the first answer is the right one",
        hera: [{ status: 200, body: "first", headers: { "x-late": undefined } }, { body: "null" }],
      },
    },
  ],
};

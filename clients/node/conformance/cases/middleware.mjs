/** Middleware, what it passes on, and what it sees. */

const note = (text) => (_req, res, next) => {
  res.append("x-seen", text);
  next();
};
const end = (_req, res) => res.send("end");

export default {
  title: "middleware",
  cases: [
    {
      name: "middleware and routes run in the order in which they stand",
      app(app) {
        app.use(note("1"));
        app.get("/a", note("2"));
        app.use(note("3"));
        app.get("/a", note("4"), end);
        app.use(note("never"));
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware behind the route that answers does not run",
      app(app) {
        app.get("/a", end);
        app.use((_req, res) => res.status(500).send("never"));
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware may answer by itself",
      app(app) {
        app.use((req, res, next) => (req.get("x-key") === "open" ? next() : res.status(401).json({ error: "closed" })));
        app.get("/a", end);
      },
      requests: ["GET /a", { path: "/a", headers: { "x-key": "open" } }],
    },
    {
      name: "use with several functions and lists",
      app(app) {
        app.use(note("1"), [note("2"), [note("3")]], note("4"));
        app.get("/a", end);
      },
      requests: ["GET /a"],
    },
    {
      name: "use with a path, with a list of paths, with a parameter",
      app(app) {
        app.use("/a", note("path"));
        app.use(["/a", "/b"], note("list"));
        app.use("/:any", note("parameter"));
        app.use("/a/:x", note("deeper"));
        app.get("/a", end);
        app.get("/b/c", end);
        app.get("/a/c", end);
      },
      requests: ["GET /a", "GET /b/c", "GET /a/c"],
    },
    {
      name: "use at the root runs for everything",
      app(app) {
        app.use("/", note("root"));
        app.get("/a/b", end);
      },
      requests: ["GET /a/b"],
    },
    {
      name: "values travel on req and res.locals",
      app(app) {
        app.use((req, res, next) => {
          req.user = { name: "Ada" };
          res.locals.lang = "de";
          next();
        });
        app.get("/a", (req, res) => res.json([req.user, res.locals, Object.getPrototypeOf(res.locals) === null]));
      },
      requests: ["GET /a"],
    },
    {
      name: "res.locals of one call are not those of the next",
      app(app) {
        app.get("/a", (_req, res) => {
          res.locals.count = (res.locals.count ?? 0) + 1;
          res.json(res.locals.count);
        });
      },
      requests: ["GET /a", "GET /a"],
    },
    {
      name: "app.locals are seen from every call",
      app(app) {
        app.locals.count = 0;
        app.get("/a", (req, res) => res.json(++req.app.locals.count));
      },
      requests: ["GET /a", "GET /a"],
    },
    {
      name: "req.app, res.app, req.res, res.req and req.next are what they are",
      app(app) {
        app.get("/a", (req, res, next) => {
          res.json([
            req.app === app,
            res.app === app,
            req.res === res,
            res.req === req,
            typeof req.next === typeof next,
          ]);
        });
      },
      requests: ["GET /a"],
    },
    {
      name: "async middleware is waited for",
      app(app) {
        app.use(async (_req, res, next) => {
          await new Promise((done) => setImmediate(done));
          res.append("x-seen", "awaited");
          next();
        });
        app.get("/a", end);
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware may go on from a callback",
      app(app) {
        app.use((_req, res, next) => {
          setImmediate(() => {
            res.append("x-seen", "later");
            next();
          });
        });
        app.get("/a", end);
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware that patches res.end sees the end",
      app(app) {
        app.use((_req, res, next) => {
          const { end } = res;
          res.end = function patched(...args) {
            res.setHeader("x-patched", String(args[0]?.length));
            return end.apply(this, args);
          };
          next();
        });
        app.get("/a", (_req, res) => res.send("four"));
        app.get("/b", (_req, res) => res.json({ a: 1 }));
        app.get("/c", (_req, res) => res.end());
      },
      requests: ["GET /a", "GET /b", "GET /c"],
    },
    {
      name: "middleware that patches res.write and writeHead sees the pieces",
      app(app) {
        app.use((_req, res, next) => {
          const { write, writeHead } = res;
          res.write = function patched(chunk, ...rest) {
            return write.call(this, String(chunk).toUpperCase(), ...rest);
          };
          res.writeHead = function patched(...args) {
            res.setHeader("x-status", String(args[0]));
            return writeHead.apply(this, args);
          };
          next();
        });
        app.get("/a", (_req, res) => {
          res.write("one ");
          res.write("two");
          res.end();
        });
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware that patches res.json and res.send",
      app(app) {
        app.use((_req, res, next) => {
          const { json } = res;
          res.json = (value) => json.call(res, { wrapped: value });
          next();
        });
        app.get("/a", (_req, res) => res.json({ a: 1 }));
      },
      requests: ["GET /a"],
    },
    {
      name: "finish comes when the answer is out, and close behind it",
      app(app) {
        const events = [];
        app.use((_req, res, next) => {
          res.on("finish", () => events.push(`finish ${res.statusCode} ${res.writableFinished}`));
          res.on("close", () => events.push("close"));
          next();
        });
        app.get("/a", (_req, res) => res.status(201).send("a"));
        app.get("/events", (_req, res) => res.json(events.splice(0)));
      },
      requests: ["GET /a", "GET /events"],
    },
    {
      name: "state of an answer before and behind its end",
      app(app) {
        const states = [];
        const look = (res) => [res.headersSent, res.writableEnded, res.finished, res.statusCode];
        app.get("/a", (_req, res) => {
          states.push(look(res));
          res.status(202);
          res.write("x");
          states.push(look(res));
          res.end();
          states.push(look(res));
        });
        app.get("/states", (_req, res) => res.json(states));
      },
      requests: ["GET /a", "GET /states"],
    },
    {
      name: "middleware with two parameters answers, with three goes on",
      app(app) {
        app.use(function two(_req, res) {
          res.set("x-two", "1");
          if (_req.url === "/a") res.send("two");
          else _req.next();
        });
        app.get("/a", end);
        app.get("/b", end);
      },
      requests: ["GET /a", "GET /b"],
    },
    {
      name: "function with five parameters is passed by",
      app(app) {
        app.use((_a, _b, _c, _d, _e) => {
          throw new Error("never");
        });
        app.get("/a", end);
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware for one method by all and route",
      app(app) {
        app.all("/a/*rest", note("all"));
        app.post("/a/b", end);
        app.get("/a/b", end);
      },
      requests: ["GET /a/b", "POST /a/b"],
    },
    {
      name: "settings: set, get, enable, disable, enabled, disabled",
      app(app) {
        app.set("title", "mine").enable("on").disable("off");
        const values = [
          app.get("title"),
          app.set("title"),
          app.enabled("on"),
          app.disabled("on"),
          app.enabled("off"),
          app.disabled("off"),
          app.enabled("nothing"),
          app.get("nothing") ?? null,
          app.settings.title,
          app.locals.settings.title,
        ];
        app.get("/a", (_req, res) => res.json(values));
      },
      requests: ["GET /a"],
    },
    {
      name: "json spaces",
      app(app) {
        app.set("json spaces", 2);
        app.get("/a", (_req, res) => res.json({ a: [1, { b: 2 }] }));
      },
      requests: ["GET /a"],
    },
    {
      name: "json replacer",
      app(app) {
        app.set("json replacer", (key, value) => (key === "secret" ? undefined : value));
        app.get("/a", (_req, res) => res.json({ a: 1, secret: 2 }));
      },
      requests: ["GET /a"],
    },
    {
      name: "json escape",
      app(app) {
        app.enable("json escape");
        app.get("/a", (_req, res) => res.json({ html: "<script>&</script>" }));
      },
      requests: ["GET /a"],
    },
    ...["strong", "weak", true, false].map((etag) => ({
      name: `etag ${etag}`,
      app(app) {
        app.set("etag", etag);
        app.get("/a", (_req, res) => res.send("text"));
        app.get("/b", (_req, res) => res.send(Buffer.from([1, 2, 3])));
        app.get("/c", (_req, res) => res.json({ \u00e4: 1 }));
      },
      requests: ["GET /a", "GET /b", "GET /c", "HEAD /a"],
    })),
    {
      name: "etag by a function of the app's own",
      app(app) {
        app.set("etag", (body, encoding) => `"${Buffer.byteLength(body, encoding)}"`);
        app.get("/a", (_req, res) => res.send("text"));
      },
      requests: ["GET /a"],
    },
    {
      name: "query parser simple keeps brackets",
      app(app) {
        app.get("/a", (req, res) => res.json(req.query));
      },
      requests: ["GET /a?a=1&b[c]=2&d=&e&a=3", "GET /a?x=%C3%A4+b&y=a%3Db", "GET /a?", "GET /a?&&", "GET /a"],
    },
    {
      name: "query parser extended nests",
      app(app) {
        app.set("query parser", "extended");
        app.get("/a", (req, res) => res.json(req.query));
      },
      requests: ["GET /a?a[b][c]=1&a[b][d]=2&l[]=1&l[]=2", "GET /a?a.b=1&c=1&c=2"],
    },
    {
      name: "query parser false gives nothing",
      app(app) {
        app.set("query parser", false);
        app.get("/a", (req, res) => res.json(req.query));
      },
      requests: ["GET /a?a=1"],
    },
    {
      name: "query parser of the app's own",
      app(app) {
        app.set("query parser", (text) => ({ raw: text }));
        app.get("/a", (req, res) => res.json(req.query));
      },
      requests: ["GET /a?a=1&b", "GET /a"],
    },
    {
      name: "query that is changed stays changed",
      app(app) {
        app.use((req, _res, next) => {
          req.query.more = "1";
          next();
        });
        app.get("/a", (req, res) => res.json(req.query));
      },
      requests: ["GET /a?b=2"],
      differs: {
        id: "query-cached",
        why: "it is what validators expect",
        hera: [{ status: 200, body: '{"b":"2","more":"1"}' }],
      },
    },
    {
      name: "trust proxy is the broker's to decide",
      app(app) {
        app.set("trust proxy", true);
        app.get("/a", end);
      },
      requests: [],
      differs: { id: "ip", why: "the worker has no peer but brokers", refused: "bad_option" },
    },
  ],
};

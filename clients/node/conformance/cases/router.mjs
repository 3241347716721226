/** Routers, where they are mounted, and what `req` says inside them. */

const where = (req, res) => res.json([req.baseUrl, req.url, req.path, req.originalUrl, req.params]);
const note = (text) => (req, res, next) => {
  res.append("x-seen", `${text} ${req.baseUrl || "-"} ${req.url}`);
  next();
};

export default {
  title: "router",
  cases: [
    {
      name: "mounted router sees the path without its mount",
      app(app, lib) {
        app.use("/a", lib.Router().get("/b/:id", where));
      },
      requests: ["GET /a/b/1", "GET /a/b/1?q=x", "GET /a/b/1/"],
    },
    {
      name: "router without a path sees the path as it is",
      app(app, lib) {
        app.use(lib.Router().get("/b", where));
      },
      requests: ["GET /b"],
    },
    {
      name: "root of a router is its mount",
      app(app, lib) {
        app.use("/a", lib.Router().get("/", where));
      },
      requests: ["GET /a", "GET /a/", "GET /a?q=1"],
    },
    {
      name: "three routers deep",
      app(app, lib) {
        const c = lib.Router().get("/d", where);
        const b = lib.Router().use(note("b")).use("/c", note("c"), c);
        app.use("/a", note("a"), lib.Router().use("/b", b));
      },
      requests: ["GET /a/b/c/d", "GET /a/b/c/d/?x=1"],
    },
    {
      name: "what a mount takes off is put back behind it",
      app(app, lib) {
        app.use("/a", note("inside"), lib.Router().use(note("router")));
        app.get("/a/b", note("route"), where);
      },
      requests: ["GET /a/b"],
    },
    {
      name: "router that is mounted twice answers at both places",
      app(app, lib) {
        const router = lib.Router().get("/x", where);
        app.use("/a", router);
        app.use("/b", router);
      },
      requests: ["GET /a/x", "GET /b/x"],
    },
    {
      name: "router under a list of paths answers under each",
      app(app, lib) {
        app.use(["/a", "/b/:id"], lib.Router().get("/x", where));
      },
      requests: ["GET /a/x", "GET /b/7/x"],
    },
    {
      name: "parameters of the mount are not seen inside",
      app(app, lib) {
        app.use("/a/:id", lib.Router().get("/:part", where));
      },
      requests: ["GET /a/1/2"],
    },
    {
      name: "mergeParams shows the parameters of the mount inside",
      app(app, lib) {
        app.use("/a/:id", lib.Router({ mergeParams: true }).get("/:part", where));
      },
      requests: ["GET /a/1/2"],
    },
    {
      name: "with mergeParams the inner parameter wins",
      app(app, lib) {
        app.use("/a/:id", lib.Router({ mergeParams: true }).get("/:id", where));
      },
      requests: ["GET /a/1/2"],
    },
    {
      name: "mergeParams through two routers",
      app(app, lib) {
        const inner = lib.Router({ mergeParams: true }).get("/:c", where);
        const outer = lib.Router({ mergeParams: true }).use("/:b", inner);
        app.use("/:a", outer);
      },
      requests: ["GET /1/2/3"],
    },
    {
      name: "mergeParams of the inner router alone takes one step",
      app(app, lib) {
        const inner = lib.Router({ mergeParams: true }).get("/:c", where);
        app.use("/:a", lib.Router().use("/:b", inner));
      },
      requests: ["GET /1/2/3"],
    },
    {
      name: "mount of a tail gives its segments",
      app(app) {
        app.use("/a/*rest", (req, res, next) => {
          res.set("x-rest", JSON.stringify(req.params.rest));
          next();
        });
        app.get("/a/b/c", where);
      },
      requests: ["GET /a/b/c"],
    },
    {
      name: "params of middleware are gone behind it",
      app(app) {
        app.use("/:first", (req, res, next) => {
          res.set("x-first", req.params.first);
          next();
        });
        app.get("/a/:second", where);
      },
      requests: ["GET /a/b"],
    },
    {
      name: "mount matches whole segments only",
      app(app, lib) {
        app.use("/ab", (_req, res) => res.send("never"));
        app.use("/a", lib.Router().get("/bc", where));
        app.get("/abc", where);
      },
      requests: ["GET /abc", "GET /a/bc"],
    },
    {
      name: "mount with a slash at its end is the same mount",
      app(app) {
        app.use("/a/", note("mounted"));
        app.get("/a/b", where);
        app.get("/a", where);
      },
      requests: ["GET /a/b", "GET /a", "GET /a/"],
    },
    {
      name: "router goes on to the app when nothing in it answers",
      app(app, lib) {
        app.use("/a", lib.Router().get("/other", where).use(note("router")));
        app.get("/a/b", where);
      },
      requests: ["GET /a/b"],
    },
    {
      name: "routers in a row are asked in order",
      app(app, lib) {
        const first = lib.Router().get("/x", note("first"));
        const second = lib.Router().get("/x", note("second"), where);
        app.use("/a", first, second);
      },
      requests: ["GET /a/x"],
    },
    {
      name: "routers and middleware in lists",
      app(app, lib) {
        app.use("/a", [note("1"), [note("2")]], [lib.Router().get("/x", where)]);
      },
      requests: ["GET /a/x"],
    },
    {
      name: "router has every function that an app has",
      app(app, lib) {
        const router = lib.Router();
        router.all("/all", where);
        router.route("/route").get(where).post(where);
        router.delete("/delete", where);
        router["m-search"]("/search", where);
        app.use("/r", router);
      },
      requests: ["PUT /r/all", "GET /r/route", "POST /r/route", "DELETE /r/delete", "M-SEARCH /r/search"],
    },
    {
      name: "functions of a router and an app give themselves",
      app(app, lib) {
        const router = lib.Router();
        const same = [
          router.use(note("x")) === router,
          router.get("/a", where) === router,
          router.param("id", () => {}) === router,
          app.use(note("y")) === app,
          app.all("/b", where) === app,
          app.set("x", 1) === app,
        ];
        app.get("/same", (_req, res) => res.json(same));
      },
      requests: ["GET /same"],
    },
    {
      name: "caseSensitive of a router holds for its paths",
      app(app, lib) {
        app.use(
          "/a",
          lib
            .Router({ caseSensitive: true })
            .use("/B", (_req, res) => res.send("never"))
            .get("/b", where),
        );
      },
      requests: ["GET /a/b"],
    },
    {
      name: "strict of a router holds for its paths",
      app(app, lib) {
        const say = (text) => (_req, res) => res.send(text);
        app.use("/a", lib.Router({ strict: true }).get("/b", say("without")).get("/b/", say("with")));
      },
      requests: ["GET /a/b", "GET /a/b/"],
    },
    {
      name: "url that middleware rewrites goes to another route",
      app(app) {
        app.get("/new", where);
        app.use((req, _res, next) => {
          if (req.url.startsWith("/old")) req.url = req.url.replace("/old", "/target");
          next();
        });
        app.get("/old", (_req, res) => res.send("never"));
        app.get("/target", (req, res) => res.json([req.url, req.path, req.originalUrl, req.query]));
      },
      requests: ["GET /old", "GET /old?a=1", "GET /new"],
    },
    {
      name: "url that is rewritten inside a mount is relative to it",
      app(app) {
        app.use("/a", (req, _res, next) => {
          req.url = "/c?x=2";
          next();
        });
        app.get("/a/b", (_req, res) => res.send("never"));
        app.get("/a/c", (req, res) => res.json([req.url, req.query]));
      },
      requests: ["GET /a/b?x=1"],
    },
    {
      name: "method that middleware overrides counts",
      app(app) {
        app.use((req, _res, next) => {
          if (req.get("x-method")) req.method = req.get("x-method");
          next();
        });
        app.post("/a", (_req, res) => res.send("post"));
        app.delete("/a", (_req, res) => res.send("delete"));
      },
      requests: [{ method: "POST", path: "/a", headers: { "x-method": "DELETE" } }, "POST /a"],
    },
    {
      name: "param runs before the routes that have the parameter",
      app(app) {
        app.param("id", (req, res, next, id, name) => {
          res.append("x-param", `${name}=${id}`);
          req.user = { id };
          next();
        });
        app.get("/a/:id", (req, res) => res.json([req.user, req.params]));
        app.get("/b/:other", (req, res) => res.json([req.user ?? null, req.params]));
      },
      requests: ["GET /a/7", "GET /b/7"],
    },
    {
      name: "param runs once for each value",
      app(app) {
        app.param("id", (_req, res, next, id) => {
          res.append("x-param", id);
          next();
        });
        app.get("/a/:id", (_req, _res, next) => next());
        app.get("/a/:id", (_req, _res, next) => next());
        app.get("/:any/:id", where);
      },
      requests: ["GET /a/7"],
    },
    {
      name: "param runs again for another value of the same name",
      app(app) {
        app.param("x", (_req, res, next, x) => {
          res.append("x-param", x);
          next();
        });
        app.get("/:x/b", (_req, _res, next) => next());
        app.get("/a/:x", where);
      },
      requests: ["GET /a/b"],
    },
    {
      name: "several param handlers run in order, for several names",
      app(app) {
        const note = (text) => (_req, res, next, value) => {
          res.append("x-param", `${text}:${value}`);
          next();
        };
        app.param("a", note("a1"));
        app.param("a", note("a2"));
        app.param(["b", "c"], note("bc"));
        app.get("/:a/:b/:c", where);
      },
      requests: ["GET /1/2/3"],
    },
    {
      name: "param may change the value",
      app(app) {
        app.param("id", (req, _res, next, id) => {
          req.params.id = `<${id}>`;
          next();
        });
        app.get("/a/:id", (_req, _res, next) => next());
        app.get("/a/:id", where);
      },
      requests: ["GET /a/7"],
    },
    {
      name: "param that fails goes to the error handlers",
      app(app) {
        app.param("id", (_req, _res, next, id) => next(id === "bad" ? new Error("bad id") : undefined));
        app.get("/a/:id", where);
        app.use((error, _req, res, _next) => res.status(422).json(error.message));
      },
      requests: ["GET /a/bad", "GET /a/good"],
    },
    {
      name: "param that throws or rejects goes to the error handlers",
      app(app) {
        app.param("a", () => {
          throw new Error("thrown");
        });
        app.param("b", async () => {
          throw new Error("rejected");
        });
        app.get("/a/:a", where);
        app.get("/b/:b", where);
        app.use((error, _req, res, _next) => res.status(422).json(error.message));
      },
      requests: ["GET /a/1", "GET /b/1"],
    },
    {
      name: "param with next('route') passes the route by",
      app(app) {
        app.param("id", (_req, _res, next) => next("route"));
        app.get("/a/:id", (_req, res) => res.send("never"));
        app.get("/a/*rest", where);
      },
      requests: ["GET /a/7"],
    },
    {
      name: "param of an app is not asked inside a router, and the other way round",
      app(app, lib) {
        const note = (text) => (_req, res, next, value) => {
          res.append("x-param", `${text}:${value}`);
          next();
        };
        const router = lib.Router();
        router.param("id", note("router"));
        router.get("/:id", where);
        app.param("id", note("app"));
        app.use("/r", router);
        app.get("/a/:id", where);
      },
      requests: ["GET /r/1", "GET /a/2"],
    },
    {
      name: "param runs for a mount's parameter too",
      app(app, lib) {
        app.param("id", (_req, res, next, id) => {
          res.append("x-param", id);
          next();
        });
        app.use("/a/:id", lib.Router().get("/x", where));
      },
      requests: ["GET /a/9/x"],
    },
    {
      name: "param is given the decoded value",
      app(app) {
        app.param("id", (_req, res, next, id) => {
          res.set("x-length", String(id.length));
          next();
        });
        app.get("/a/:id", where);
      },
      requests: ["GET /a/%C3%A4%20b"],
    },
    {
      name: "param may answer by itself",
      app(app) {
        app.param("id", (_req, res, _next, id) => res.status(403).send(`not ${id}`));
        app.get("/a/:id", where);
      },
      requests: ["GET /a/7"],
    },
    {
      name: "two apps know nothing of each other",
      app(app, lib) {
        const other = lib();
        other.get("/a", (_req, res) => res.send("never"));
        other.set("etag", false);
        app.get("/a", (_req, res) => res.send("mine"));
      },
      requests: ["GET /a"],
    },
    {
      name: "app inside an app is absent",
      app(app, lib) {
        const inner = lib();
        inner.get("/x", where);
        app.use("/a", inner);
        app.get("/b", where);
      },
      requests: [],
      differs: { id: "absent", why: "a Router() does what a mounted app does", refused: "bad_option" },
    },
  ],
};

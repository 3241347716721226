/** Methods, paths and the order of routes. */

const say = (text) => (_req, res) => res.send(text);
const params = (req, res) => res.json(req.params);
const methods = [
  "get",
  "post",
  "put",
  "patch",
  "delete",
  "options",
  "head",
  "trace",
  "propfind",
  "search",
  "purge",
  "mkcol",
  "notify",
  "lock",
];

export default {
  title: "routing",
  cases: [
    ...methods.map((method) => ({
      name: `${method} takes its own method`,
      app(app) {
        app[method]("/a", (req, res) => res.set("x-took", req.method).send(method));
      },
      requests: [`${method.toUpperCase()} /a`],
    })),
    {
      name: "m-search is reached by its name in brackets",
      app(app) {
        app["m-search"]("/a", say("searched"));
      },
      requests: ["M-SEARCH /a"],
    },
    {
      name: "all takes every method",
      app(app) {
        app.all("/a", (req, res) => res.send(req.method));
      },
      requests: ["GET /a", "POST /a", "DELETE /a", "OPTIONS /a", "PROPFIND /a", "HEAD /a"],
    },
    {
      name: "HEAD runs the handlers of GET and sends no body",
      app(app) {
        app.get("/a", (req, res) => res.set("x-method", req.method).send("body"));
      },
      requests: ["HEAD /a", "GET /a"],
    },
    {
      name: "HEAD of its own goes before GET when it stands first",
      app(app) {
        app.head("/a", (_req, res) => res.set("x-by", "head").end());
        app.get("/a", (_req, res) => res.set("x-by", "get").end());
      },
      requests: ["HEAD /a", "GET /a"],
    },
    {
      name: "HEAD goes to GET when that stands first",
      app(app) {
        app.get("/a", (_req, res) => res.set("x-by", "get").end());
        app.head("/a", (_req, res) => res.set("x-by", "head").end());
      },
      requests: ["HEAD /a"],
    },
    {
      name: "OPTIONS is answered by the methods that the path has",
      app(app) {
        app.get("/a", say("get"));
        app.put("/a", say("put"));
        app.delete("/:any", say("delete"));
      },
      requests: ["OPTIONS /a", "OPTIONS /b"],
    },
    {
      name: "OPTIONS of a route that was chained names each method once",
      app(app) {
        app.route("/a").get(say("1"), say("2")).post(say("3")).get(say("4"));
      },
      requests: ["OPTIONS /a"],
    },
    {
      name: "OPTIONS with a handler of its own is the handler's",
      app(app) {
        app.get("/a", say("get"));
        app.options("/a", (_req, res) => res.set("Allow", "mine").sendStatus(204));
      },
      requests: ["OPTIONS /a"],
    },
    {
      name: "OPTIONS sees the middleware in front",
      app(app) {
        app.use((req, res, next) => (req.method === "OPTIONS" ? res.status(200).set("x-cors", "1").end() : next()));
        app.get("/a", say("get"));
      },
      requests: ["OPTIONS /a"],
    },
    {
      name: "OPTIONS inside a router is answered by the router",
      app(app, lib) {
        const router = lib.Router();
        router.get("/a", say("get")).post("/a", say("post"));
        app.use("/r", router);
        app.patch("/r/a", say("patch"));
      },
      requests: ["OPTIONS /r/a"],
    },
    {
      name: "route chains methods on one path",
      app(app) {
        app
          .route("/a/:id")
          .all((_req, res, next) => {
            res.set("x-all", "1");
            next();
          })
          .get(say("get"))
          .post(say("post"));
      },
      requests: ["GET /a/1", "POST /a/1", "HEAD /a/1"],
    },
    {
      name: "route with methods in turn runs those that fit, in order",
      app(app) {
        app
          .route("/a")
          .get((_req, res, next) => {
            res.set("x-1", "get");
            next();
          })
          .post(say("post"))
          .get((_req, res) => res.send("second get"));
      },
      requests: ["GET /a", "POST /a"],
    },
    {
      name: "several handlers run in order",
      app(app) {
        const add = (text) => (_req, res, next) => {
          res.append("x-seen", text);
          next();
        };
        app.get("/a", add("1"), add("2"), add("3"), say("end"));
      },
      requests: ["GET /a"],
    },
    {
      name: "handlers in nested lists run in order",
      app(app) {
        const add = (text) => (_req, res, next) => {
          res.append("x-seen", text);
          next();
        };
        app.get("/a", [add("1"), [add("2"), [add("3")]]], add("4"), [say("end")]);
      },
      requests: ["GET /a"],
    },
    {
      name: "first route that matches answers",
      app(app) {
        app.get("/a/:id", say("parameter"));
        app.get("/a/me", say("static"));
      },
      requests: ["GET /a/me", "GET /a/you"],
    },
    {
      name: "static route in front of a parameter answers for itself",
      app(app) {
        app.get("/a/me", say("static"));
        app.get("/a/:id", say("parameter"));
      },
      requests: ["GET /a/me", "GET /a/you"],
    },
    {
      name: "tail in front of everything answers everything under it",
      app(app) {
        app.get("/a/*rest", say("tail"));
        app.get("/a/b", say("static"));
      },
      requests: ["GET /a/b", "GET /a/b/c"],
    },
    {
      name: "next goes on to a later route of the same path",
      app(app) {
        app.get("/a", (_req, res, next) => {
          res.set("x-first", "1");
          next();
        });
        app.get("/a", say("second"));
      },
      requests: ["GET /a"],
    },
    {
      name: "next goes on to a later route of another pattern",
      app(app) {
        app.get("/a/:x", (req, res, next) => {
          res.set("x-param", req.params.x);
          next();
        });
        app.get("/a/*rest", params);
      },
      requests: ["GET /a/1"],
    },
    {
      name: "next('route') leaves the handlers of this route",
      app(app) {
        app.get("/a", (_req, _res, next) => next("route"), say("never"));
        app.get("/a", say("later"));
      },
      requests: ["GET /a"],
    },
    {
      name: "next('route') in a route of many methods leaves all of it",
      app(app) {
        app
          .route("/a")
          .all((_req, _res, next) => next("route"))
          .get(say("never"));
        app.get("/a", say("later"));
      },
      requests: ["GET /a"],
    },
    {
      name: "next('router') leaves the router",
      app(app, lib) {
        const router = lib.Router();
        router.use((_req, _res, next) => next("router"));
        router.get("/a", say("never"));
        app.use(router);
        app.get("/a", say("behind"));
      },
      requests: ["GET /a"],
    },
    {
      name: "next('router') from a route leaves the router around it",
      app(app, lib) {
        const router = lib.Router();
        router.get("/a", (_req, _res, next) => next("router"), say("never"));
        router.get("/a", say("never either"));
        app.use(router);
        app.get("/a", say("behind"));
      },
      requests: ["GET /a"],
    },
    ...[undefined, null, 0, "", false].map((value) => ({
      name: `next(${JSON.stringify(value)}) is no error`,
      app(app) {
        app.get("/a", (_req, _res, next) => next(value), say("next handler"));
      },
      requests: ["GET /a"],
    })),
    {
      name: "path list answers each of its paths",
      app(app) {
        app.get(["/a", "/b/:id"], (req, res) => res.json([req.path, req.params]));
      },
      requests: ["GET /a", "GET /b/1"],
    },
    {
      name: "trailing slash is ignored",
      app(app) {
        app.get("/a", (req, res) => res.json([req.url, req.path, req.originalUrl]));
        app.get("/b/", (req, res) => res.json([req.url, req.path, req.originalUrl]));
      },
      requests: ["GET /a", "GET /a/", "GET /b", "GET /b/", "GET /a/?q=1"],
    },
    {
      name: "trailing slash counts where routing is strict",
      app(app) {
        app.set("strict routing", true);
        app.get("/a", say("without"));
        app.get("/a/", say("with"));
      },
      requests: ["GET /a", "GET /a/"],
    },
    {
      name: "letters of a path may be of either case to a layer",
      app(app) {
        app.use("/UPPER", (_req, res, next) => {
          res.set("x-upper", "1");
          next();
        });
        app.get("/upper/:Name", params);
      },
      requests: ["GET /upper/Ann"],
    },
    {
      name: "path of another case reaches no worker",
      app(app) {
        app.get("/Users", say("users"));
      },
      requests: ["GET /users"],
      differs: {
        id: "canonical",
        why: "paths differ by case to a broker",
        hera: [{ status: 404, json: { code: "not_found" } }],
      },
    },
    {
      name: "case sensitive routing tells letters apart",
      app(app) {
        app.set("case sensitive routing", true);
        app.use("/UPPER", (_req, res) => res.send("never"));
        app.get("/upper", say("lower"));
      },
      requests: ["GET /upper"],
    },
    {
      name: "request that no route takes is a 404",
      app(app) {
        app.get("/a", say("a"));
      },
      requests: ["GET /b"],
      differs: {
        id: "not-found",
        why: "the broker answers for what nobody declared",
        hera: [{ status: 404, headers: { "content-type": "application/problem+json" }, json: { code: "not_found" } }],
      },
    },
    {
      name: "call that all layers pass on is a 404",
      app(app) {
        app.get("/a", (_req, _res, next) => next());
      },
      requests: ["GET /a"],
      differs: {
        id: "not-found",
        why: "one form of error from every service",
        hera: [{ status: 404, json: { code: "not_found" } }],
      },
    },
    {
      name: "404 of the app's own, by middleware at the end, answers what its layers passed on",
      app(app) {
        app.get("/a", (_req, _res, next) => next());
        app.use((req, res) => res.status(404).json({ nothing: req.path }));
      },
      requests: ["GET /a"],
    },
    {
      name: "404 of the app's own is not asked about what nobody declared",
      app(app) {
        app.get("/a", say("a"));
        app.use((_req, res) => res.status(404).json("mine"));
      },
      requests: ["GET /b"],
      differs: { id: "not-found", why: "use declares nothing", hera: [{ status: 404, json: { code: "not_found" } }] },
    },
    {
      name: "method that the path has not is 405",
      app(app) {
        app.get("/a", say("a"));
      },
      requests: ["POST /a"],
      differs: {
        id: "method-not-allowed",
        why: "the broker knows what the path has",
        hera: [{ status: 405, headers: { allow: "GET, HEAD, OPTIONS" }, json: { code: "method_not_allowed" } }],
      },
    },
    {
      name: "regular expression is no route",
      app(app) {
        app.get(/^\/a/, say("a"));
      },
      requests: [],
      differs: { id: "patterns", why: "a broker cannot match it", refused: "bad_endpoint" },
    },
    ...["/a-:b", "/:a.json", "/:from-:to", "/*rest/b", "/a/*rest.png", "/"].map((path) => ({
      name: `${path} is no route`,
      app(app) {
        app.get(path, say("a"));
      },
      requests: [],
      differs: { id: "patterns", why: "a broker's patterns have whole segments", refused: "bad_endpoint" },
    })),
    {
      name: "dot segments and double slashes are refused by the broker",
      app(app) {
        app.get("/*all", (req, res) => res.json(req.params));
      },
      requests: ["GET /a/../b", "GET /a//b", "GET /a/./b", "GET /a%2Fb", "GET /a%5Cb", "GET /%E0%A4"],
      differs: {
        id: "canonical",
        why: "scope, route and worker have to see the same path",
        hera: Array.from({ length: 6 }, () => ({ status: 400, json: { code: "bad_path" } })),
      },
    },
    {
      name: "escapes of plain letters are plain letters",
      app(app) {
        app.get("/abc", (req, res) => res.json([req.path, req.originalUrl]));
      },
      requests: ["GET /%61bc"],
      differs: { id: "canonical", why: "a path has one form", hera: [{ status: 200, body: '["/abc","/%61bc"]' }] },
    },
    {
      name: "chain of hundreds of handlers ends",
      app(app) {
        for (let i = 0; i < 500; i++) app.use((_req, _res, next) => next());
        app.get("/a", ...Array.from({ length: 300 }, () => (_req, _res, next) => next()), say("end"));
      },
      requests: ["GET /a"],
    },
    {
      name: "req.route tells the path as it was written",
      app(app) {
        app.get("/a/:id{/:part}", (req, res) => res.json(req.route.path));
      },
      requests: ["GET /a/1"],
    },
    {
      name: "characters with a meaning in patterns are text when escaped",
      app(app) {
        app.get("/a\\:b/c\\*d", (req, res) => res.json([req.path, req.params]));
      },
      requests: ["GET /a:b/c*d"],
    },
    {
      name: "static text may hold what urls may hold",
      app(app) {
        app.get("/.well-known/a_b~c;v=1,2@x", (req, res) => res.send(req.path));
      },
      requests: ["GET /.well-known/a_b~c;v=1,2@x"],
    },
    {
      name: "text above ASCII in a pattern matches its escaped form",
      app(app) {
        app.get("/caf\u00e9", (req, res) => res.send(req.path));
      },
      requests: ["GET /caf%C3%A9"],
      differs: {
        id: "canonical",
        why: "a pattern takes the canonical form too",
        hera: [{ status: 200, body: "/caf%C3%A9" }],
      },
    },
    {
      name: "handler may answer later",
      app(app) {
        app.get("/a", (_req, res) => setImmediate(() => res.send("later")));
        app.get("/b", async (_req, res) => {
          await new Promise((done) => setImmediate(done));
          res.send("awaited");
        });
      },
      requests: ["GET /a", "GET /b"],
    },
    {
      name: "value that a handler returns is nothing",
      app(app) {
        app.get("/a", (_req, res) => {
          setImmediate(() => res.send("sent"));
          return "returned";
        });
        app.get("/b", async (_req, res) => {
          res.send("sent");
          return { returned: true };
        });
      },
      requests: ["GET /a", "GET /b"],
    },
  ],
};

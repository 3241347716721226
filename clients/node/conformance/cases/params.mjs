/** Path parameters: which values they take, and how they arrive. */

const show = (req, res) => res.json(req.params);
const on = (path, ...requests) => ({ name: `${path} takes ${requests.join(", ")}`, path, requests });

const tables = [
  on("/users/:id", "GET /users/7", "GET /users/a.b", "GET /users/a-b_c~d", "GET /users/7/"),
  on("/users/:id", "GET /users/a%20b", "GET /users/%C3%A4", "GET /users/a+b", "GET /users/%2525"),
  on("/users/:id", "GET /users/a;b=c", "GET /users/a@b:c", "GET /users/a'(b)*!", "GET /users/$&,="),
  on("/:a/:b/:c", "GET /1/2/3", "GET /a%20/%20/c"),
  on("/a/:x/b/:y", "GET /a/1/b/2"),
  on("/:x/b", "GET /a/b"),
  on("/files/*path", "GET /files/a", "GET /files/a/b/c", "GET /files/a%20b/c%20d", "GET /files/a/"),
  on("/*all", "GET /a", "GET /a/b"),
  on("/a/:x/*rest", "GET /a/1/2", "GET /a/1/2/3"),
  on("/a{/:b}", "GET /a", "GET /a/1", "GET /a/"),
  on("/a{/:b}{/:c}", "GET /a", "GET /a/1", "GET /a/1/2"),
  on("/a{/:b{/:c}}", "GET /a", "GET /a/1", "GET /a/1/2"),
  on("/a{/b}/:c", "GET /a/1", "GET /a/b/1"),
  on("/a{/:lang}/docs", "GET /a/docs", "GET /a/de/docs"),
  on("/report{s}", "GET /report", "GET /reports"),
  on("/a{/*rest}", "GET /a", "GET /a/1", "GET /a/1/2"),
  on("/:user_id/:postId2", "GET /1/2"),
  on("/:$a/:_b", "GET /1/2"),
  on("/:\u00e4", "GET /1"),
  on('/:"with space"', "GET /1"),
  on("/:__proto__", "GET /1"),
  on("/:constructor/:toString", "GET /1/2"),
  on("/v1.0/:id", "GET /v1.0/7"),
  on("/(a)".replace(/[()]/g, "\\$&"), "GET /(a)"),
  on("/:id/edit", "GET /edit/edit"),
];

export default {
  title: "params",
  cases: [
    ...tables.map(({ name, path, requests }) => ({
      name,
      app(app) {
        app.get(path, show);
      },
      requests,
    })),
    {
      name: "params of each layer are its own",
      app(app) {
        const seen = [];
        app.use("/:a", (req, _res, next) => {
          seen.push({ ...req.params });
          next();
        });
        app.get("/:b/:c", (req, _res, next) => {
          seen.push({ ...req.params });
          next();
        });
        app.get("/*d", (req, res) => res.json([...seen.splice(0), req.params]));
      },
      requests: ["GET /1/2"],
    },
    {
      name: "params have no prototype",
      app(app) {
        app.get("/:id", (req, res) => res.json([Object.getPrototypeOf(req.params) === null, "toString" in req.params]));
      },
      requests: ["GET /a"],
    },
    {
      name: "optional parameter that is not there is no key",
      app(app) {
        app.get("/a{/:b}", (req, res) => res.json(["b" in req.params, Object.keys(req.params)]));
      },
      requests: ["GET /a", "GET /a/1"],
    },
    {
      name: "tail is a list, also of one",
      app(app) {
        app.get("/a/*rest", (req, res) => res.json([Array.isArray(req.params.rest), req.params.rest.length]));
      },
      requests: ["GET /a/1", "GET /a/1/2/3"],
    },
    {
      name: "slash that is escaped twice stays escaped once",
      app(app) {
        app.get("/:id", show);
      },
      requests: ["GET /a%252Fb"],
    },
    {
      name: "same name twice keeps the last",
      app(app) {
        app.get("/:a/:a", show);
      },
      requests: ["GET /1/2"],
    },
    {
      name: "params that a handler changes stay changed for this route",
      app(app) {
        app.get(
          "/:a",
          (req, _res, next) => {
            req.params.a = "changed";
            req.params.more = "new";
            next();
          },
          show,
        );
      },
      requests: ["GET /1"],
    },
    {
      name: "params of another route are not those that were changed",
      app(app) {
        app.get("/:a", (req, _res, next) => {
          req.params.a = "changed";
          next();
        });
        app.get("/:a", show);
      },
      requests: ["GET /1"],
    },
    {
      name: "bad escape that middleware writes into the url is a 400 for the error handlers",
      app(app) {
        app.use((req, _res, next) => {
          req.url = "/%zz";
          next();
        });
        app.get("/:id", show);
        app.use((error, _req, res, _next) => res.status(error.status).json(error.message));
      },
      requests: ["GET /a"],
    },
    {
      name: "middleware under a pattern with optional parts",
      app(app) {
        app.use("/a{/:x}", (req, res, next) => {
          res.set("x-param", JSON.stringify(req.params));
          next();
        });
        app.get("/a/b/c", (req, res) => res.send(req.url));
      },
      requests: ["GET /a/b/c"],
    },
    {
      name: "middleware under a regular expression",
      app(app) {
        app.use(/^\/(a|b)\/(?<part>[^/]+)/, (req, res, next) => {
          res.set("x-param", JSON.stringify({ ...req.params })).set("x-base", req.baseUrl);
          next();
        });
        app.get("/a/b/c", (req, res) => res.send(req.url));
      },
      requests: ["GET /a/b/c"],
    },
  ],
};

/** Bodies, by the parsers that both packages have. */
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

const show = (req, res) => res.json(req.body ?? null);
const tell = (error, _req, res, _next) => res.status(error.status ?? 500).json("refused");
const post = (type, body, more = {}) => ({
  method: "POST",
  path: "/a",
  headers: { ...(type === undefined ? {} : { "content-type": type }), ...more },
  body,
});

const parsed = (name, make, ...requests) => ({
  name,
  app(app, lib) {
    app.use(make(lib));
    app.post("/a", show);
    app.use(tell);
  },
  requests,
});

const JSON_TYPE = "application/json";
const FORM = "application/x-www-form-urlencoded";

export default {
  title: "body",
  cases: [
    parsed(
      "JSON object and list",
      (lib) => lib.json(),
      post(JSON_TYPE, '{"a":[1,{"b":null}]}'),
      post(JSON_TYPE, "[1,2]"),
      post(JSON_TYPE, " \n{} "),
    ),
    parsed(
      "JSON with a charset",
      (lib) => lib.json(),
      post("application/json; charset=utf-8", '{"\u00e4":"\u20ac"}'),
      post('application/json; charset="UTF-8"', '{"a":1}'),
    ),
    parsed(
      "JSON that is broken is 400",
      (lib) => lib.json(),
      post(JSON_TYPE, "{bad"),
      post(JSON_TYPE, '{"a":1'),
      post(JSON_TYPE, "{'a':1}"),
    ),
    parsed("JSON that is empty", (lib) => lib.json(), post(JSON_TYPE, "")),
    parsed(
      "JSON in a charset that nobody knows is 415",
      (lib) => lib.json(),
      post("application/json; charset=x-none", "{}"),
    ),
    parsed(
      "JSON in gzip, deflate and br",
      (lib) => lib.json(),
      ...[
        ["gzip", gzipSync],
        ["deflate", deflateSync],
        ["br", brotliCompressSync],
      ].map(([name, pack]) => post(JSON_TYPE, pack('{"packed":true}'), { "content-encoding": name })),
    ),
    parsed(
      "JSON in an encoding that nobody knows is 415",
      (lib) => lib.json(),
      post(JSON_TYPE, "{}", { "content-encoding": "zstandard" }),
    ),
    parsed(
      "JSON over the parser's limit is 413",
      (lib) => lib.json({ limit: 10 }),
      post(JSON_TYPE, '{"a":"long enough"}'),
      post(JSON_TYPE, '{"a":1}'),
    ),
    parsed(
      "JSON over the limit once unpacked is 413",
      (lib) => lib.json({ limit: "1kb" }),
      post(JSON_TYPE, gzipSync(JSON.stringify("x".repeat(5_000).split(""))), { "content-encoding": "gzip" }),
    ),
    parsed("JSON in chunks", (lib) => lib.json(), post(JSON_TYPE, '{"a":1}', { "transfer-encoding": "chunked" })),
    parsed("form", (lib) => lib.urlencoded(), post(FORM, "a=1&b=x+y&c=%C3%A4&d=&e"), post(FORM, "a=1&a=2&a=3")),
    parsed("form with brackets stays flat", (lib) => lib.urlencoded({ extended: false }), post(FORM, "a[b]=1&a[c]=2")),
    parsed(
      "form that is extended nests",
      (lib) => lib.urlencoded({ extended: true }),
      post(FORM, "a[b]=1&a[c][]=2&a[c][]=3&d=e"),
    ),
    parsed(
      "text",
      (lib) => lib.text(),
      post("text/plain", "some text"),
      post("text/plain; charset=utf-8", "t\u00e4xt"),
    ),
    parsed(
      "text of other types",
      (lib) => lib.text({ type: "text/*" }),
      post("text/csv", "a,b"),
      post("text/html", "<p>"),
    ),
    parsed(
      "text of any type",
      (lib) => lib.text({ type: "*/*" }),
      post(JSON_TYPE, "{}"),
      post("image/svg+xml", "<svg/>"),
    ),
    {
      name: "bytes",
      app(app, lib) {
        app.use(lib.raw({ type: "*/*" }));
        app.post("/a", (req, res) => res.json([Buffer.isBuffer(req.body), req.body.length, String(req.body)]));
      },
      requests: [post("application/octet-stream", "abc"), post("image/png", Buffer.from([1, 2, 3]))],
    },
    {
      name: "parsers side by side, each for its type",
      app(app, lib) {
        app.use(lib.json(), lib.urlencoded({ extended: false }), lib.text());
        app.post("/a", show);
      },
      requests: [post(JSON_TYPE, '{"a":1}'), post(FORM, "a=1"), post("text/plain", "a")],
    },
    {
      name: "parser of one route alone",
      app(app, lib) {
        app.post("/a", lib.json({ type: "application/*+json" }), show);
      },
      requests: [post("application/vnd.api+json", '{"a":1}')],
    },
    {
      name: "type by a function",
      app(app, lib) {
        app.use(lib.text({ type: (req) => req.headers["x-text"] === "1" }));
        app.post("/a", show);
      },
      requests: [post("application/x-any", "abc", { "x-text": "1" })],
    },
    {
      name: "errors of parsers have a status and may be told",
      app(app, lib) {
        app.use(lib.json({ limit: 10 }));
        app.post("/a", show);
        app.use((error, _req, res, _next) => res.status(error.status).json([error.status, error instanceof Error]));
      },
      requests: [post(JSON_TYPE, "{bad"), post(JSON_TYPE, '{"a":"long enough"}')],
    },
    {
      name: "JSON is there without a parser",
      app(app) {
        app.post("/a", show);
      },
      requests: [post(JSON_TYPE, '{"a":1}'), post(FORM, "a=1")],
      differs: {
        id: "bodies",
        why: "one line less to forget",
        hera: [
          { status: 200, body: '{"a":1}' },
          { status: 200, body: '{"a":"1"}' },
        ],
      },
    },
    {
      name: "bad JSON is 400 without a parser",
      app(app) {
        app.post("/a", show);
        app.use((error, _req, res, _next) => res.status(error.status).json(error.code));
      },
      requests: [post(JSON_TYPE, "{bad")],
      differs: {
        id: "bodies",
        why: "the body is parsed before the layers",
        hera: [{ status: 400, body: '"bad_body"' }],
      },
    },
    {
      name: "bad JSON is 400 though the app would read it as text",
      app(app, lib) {
        app.use(lib.text({ type: "*/*" }));
        app.post("/a", show);
      },
      requests: [post(JSON_TYPE, "{bad")],
      differs: {
        id: "bodies",
        why: "the body is parsed before the layers",
        hera: [{ status: 400, json: { code: "bad_body" } }],
      },
    },
    {
      name: "body of another type is bytes without a parser",
      app(app) {
        app.post("/a", (req, res) => res.json(Buffer.isBuffer(req.body)));
      },
      requests: [post("image/png", "abc")],
      differs: { id: "bodies", why: "one line less to forget", hera: [{ status: 200, body: "true" }] },
    },
    {
      name: "JSON that is no object or list",
      app(app, lib) {
        app.use(lib.json());
        app.post("/a", show);
        app.use(tell);
      },
      requests: [post(JSON_TYPE, "7"), post(JSON_TYPE, '"text"')],
      differs: {
        id: "bodies",
        why: "it is JSON (RFC 8259)",
        hera: [
          { status: 200, body: "7" },
          { status: 200, body: '"text"' },
        ],
      },
    },
    {
      name: "JSON with the names of prototypes",
      app(app, lib) {
        app.use(lib.json());
        app.post("/a", (req, res) => res.json(Object.keys(req.body)));
      },
      requests: [post(JSON_TYPE, '{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}},"ok":1}')],
      differs: { id: "prototypes", why: "a careless merge is harmless", hera: [{ status: 200, body: '["ok"]' }] },
    },
    {
      name: "body over the endpoint's limit never reaches the app",
      app(app, lib) {
        app.use(lib.text({ limit: "10mb" }));
        app.post("/a", (req, res) => res.json(req.body.length));
      },
      requests: [post("text/plain", "x".repeat(1_048_577))],
      differs: {
        id: "bodies",
        why: "the broker has the limit",
        hera: [{ status: 413, json: { code: "body_too_large" } }],
      },
    },
  ],
};

/** What `req` tells of a call. */

/** One handler for every path that gives what `look` sees. */
const sees = (name, look, ...requests) => ({
  name,
  app(app) {
    app.all("/*rest", (req, res) => res.json(look(req) ?? null));
  },
  requests,
});
const headers = (all, path = "/a") => ({ path, headers: all });
const post = (type, body, more = {}) => ({
  method: "POST",
  path: "/a",
  headers: { ...(type ? { "content-type": type } : {}), ...more },
  body,
});

export default {
  title: "request",
  cases: [
    sees(
      "method, url, path, originalUrl, baseUrl",
      (req) => [req.method, req.url, req.path, req.originalUrl, req.baseUrl],
      "GET /a",
      "GET /a/b?c=d&e",
      "DELETE /a/?x",
      "GET /a?",
    ),
    sees("httpVersion", (req) => [req.httpVersion, req.httpVersionMajor, req.httpVersionMinor], "GET /a"),
    sees(
      "get takes a name in any case",
      (req) => [req.get("X-A"), req.get("x-a"), req.header("X-a")],
      headers({ "X-a": "1" }),
    ),
    sees("get of a header that is not there", (req) => req.get("nothing") === undefined, "GET /a"),
    sees(
      "get knows referrer by both names",
      (req) => [req.get("referrer"), req.get("Referer")],
      headers({ referer: "http://x/" }),
      headers({ referrer: "http://y/" }),
    ),
    {
      name: "get without a name, and with one that is no text, throws",
      app(app) {
        app.get("/a", (req, res) => {
          const codes = [undefined, 42].map((name) => {
            try {
              return req.get(name);
            } catch (error) {
              return [error.name, error.message];
            }
          });
          res.json(codes);
        });
      },
      requests: ["GET /a"],
    },
    sees(
      "headers that stand twice are joined",
      (req) => [req.headers["x-a"], req.headers.cookie, req.headers.accept],
      headers({ "x-a": ["1", "2"], cookie: ["a=1", "b=2"], accept: ["text/html", "*/*"] }),
    ),
    sees(
      "some headers count once",
      (req) => [req.headers["user-agent"], req.headers.from, req.headers.age],
      headers({ "user-agent": ["a", "b"], from: ["a", "b"], age: ["1", "2"] }),
    ),
    sees(
      "rawHeaders hold names and values by turns",
      (req) => {
        const at = req.rawHeaders.findIndex((each) => each.toLowerCase() === "x-a");
        return req.rawHeaders[at + 1];
      },
      headers({ "x-a": "1" }),
    ),
    {
      ...sees(
        "names of rawHeaders",
        (req) => req.rawHeaders.filter((_, i) => i % 2 === 0).includes("X-Mixed"),
        headers({ "X-Mixed": "1" }),
      ),
      differs: { id: "hop-by-hop", why: "names arrive in lower case", hera: [{ status: 200, body: "false" }] },
    },
    {
      ...sees(
        "headers of one connection end at the broker",
        (req) => [req.headers.te, req.headers["x-mine"], req.headers["keep-alive"]],
        headers({ te: "trailers", connection: "x-mine, te, close", "x-mine": "1", "keep-alive": "timeout=5" }),
      ),
      differs: { id: "hop-by-hop", why: "RFC 9110, 7.6.1", hera: [{ status: 200, body: "[null,null,null]" }] },
    },
    {
      ...sees(
        "headers have no prototype",
        (req) => [Object.getPrototypeOf(req.headers) === null, "toString" in req.headers],
        "GET /a",
      ),
      differs: { id: "prototypes", why: "a careless merge is harmless", hera: [{ status: 200, body: "[true,false]" }] },
    },
    {
      ...sees(
        "query with the name of a prototype",
        (req) => Object.keys(req.query),
        "GET /a?__proto__=1&constructor=2",
      ),
      differs: {
        id: "prototypes",
        why: "a careless merge is harmless",
        hera: [{ status: 200, body: '["constructor"]' }],
      },
    },
    sees("query has no prototype", (req) => Object.getPrototypeOf(req.query) === null, "GET /a?b=1"),
    sees("bytes above ASCII in a header are Latin-1", (req) => req.get("x-a"), headers({ "x-a": "caf\u00e9" })),

    ...[
      ["text/html", "text/html, application/json;q=0.5"],
      ["json", "application/json"],
      ["json", "text/*"],
      [["json", "html", "text"], "text/plain;q=0.9, text/html;q=0.8"],
      [["json", "html"], "*/*"],
      [["html", "json"], "application/*;q=0.2, text/html;q=0.1"],
      [["image/png", "image/webp"], "image/*"],
      [["json"], ""],
      [["application/vnd.api+json", "json"], "application/vnd.api+json"],
      [["json"], "application/json;q=0"],
    ].map(([types, accept]) =>
      sees(
        `accepts ${JSON.stringify(types)} for ${JSON.stringify(accept)}`,
        (req) => req.accepts(types),
        headers({ accept }),
      ),
    ),
    sees(
      "accepts without a header takes the first",
      (req) => [req.accepts("json", "html"), req.accepts(["html"])],
      "GET /a",
    ),
    sees("accepts without types lists what is wanted", (req) => req.accepts(), headers({ accept: "a/b;q=0.1, c/d" })),
    sees(
      "acceptsEncodings",
      (req) => [req.acceptsEncodings("gzip", "br"), req.acceptsEncodings("deflate"), req.acceptsEncodings()],
      headers({ "accept-encoding": "br;q=0.5, gzip" }),
      "GET /a",
    ),
    sees(
      "acceptsCharsets",
      (req) => [req.acceptsCharsets("utf-8"), req.acceptsCharsets("latin1"), req.acceptsCharsets()],
      headers({ "accept-charset": "utf-8, x;q=0.1" }),
      "GET /a",
    ),
    sees(
      "acceptsLanguages",
      (req) => [req.acceptsLanguages("de", "en"), req.acceptsLanguages(["fr"]), req.acceptsLanguages()],
      headers({ "accept-language": "en;q=0.8, de" }),
      "GET /a",
    ),

    ...[
      ["json", "application/json; charset=utf-8"],
      ["text/*", "text/html"],
      ["*/json", "application/json"],
      [["html", "json"], "text/html"],
      ["json", "text/plain"],
      ["multipart", "multipart/form-data; boundary=x"],
      ["urlencoded", "application/x-www-form-urlencoded"],
      ["+json", "application/vnd.api+json"],
    ].map(([types, type]) => sees(`is ${JSON.stringify(types)} for ${type}`, (req) => req.is(types), post(type, "7"))),
    sees(
      "is without a body is null",
      (req) => [req.is("json"), req.is("json") === null],
      headers({ "content-type": "application/json" }),
    ),
    sees("is without types gives the type", (req) => req.is(), post("text/html; charset=utf-8", "x")),
    sees("is of a body without a type is false", (req) => req.is("json"), post("", "x")),

    ...["bytes=0-4", "bytes=2-", "bytes=-3", "bytes=50-60", "bytes=0-1,4-5", "lines=0-1", "bytes", "bytes=5-2"].map(
      (range) =>
        sees(
          `range ${range}`,
          (req) => {
            const found = req.range(10);
            return Array.isArray(found) ? [found.type, ...found] : found;
          },
          headers({ range }),
        ),
    ),
    sees("range combined", (req) => req.range(10, { combine: true }), headers({ range: "bytes=0-2,2-4,8-9" })),
    sees("range that nobody asked for", (req) => req.range(10) === undefined, "GET /a"),

    sees("host, hostname with a port", (req) => [req.host, req.hostname], headers({ host: "example.com:8080" })),
    sees("hostname without a port", (req) => [req.host, req.hostname], headers({ host: "example.com" })),
    sees(
      "hostname of an IPv6 literal",
      (req) => [req.host, req.hostname],
      headers({ host: "[::1]:8080" }),
      headers({ host: "[::1]" }),
    ),
    sees("forwarded host of a stranger is not believed", (req) => req.hostname, headers({ host: "example.com" })),
    sees(
      "subdomains",
      (req) => req.subdomains,
      headers({ host: "a.b.example.com" }),
      headers({ host: "example.com" }),
      headers({ host: "10.0.0.1" }),
    ),
    {
      name: "subdomain offset",
      app(app) {
        app.set("subdomain offset", 1);
        app.get("/a", (req, res) => res.json(req.subdomains));
      },
      requests: [headers({ host: "a.b.com" })],
    },
    sees("protocol and secure", (req) => [req.protocol, req.secure], "GET /a"),
    sees("ips of a caller that nobody forwarded", (req) => req.ips, "GET /a"),
    sees("ip is the caller's address", (req) => req.ip.replace("::ffff:", ""), "GET /a"),
    sees(
      "xhr",
      (req) => req.xhr,
      headers({ "x-requested-with": "XMLHttpRequest" }),
      headers({ "x-requested-with": "fetch" }),
      "GET /a",
    ),
    sees(
      "cookies and signedCookies are a parser's to make",
      (req) => [req.cookies === undefined, req.signedCookies === undefined],
      headers({ cookie: "a=1" }),
    ),
    sees("body is undefined without one", (req) => req.body === undefined, "GET /a"),
    {
      ...sees(
        "socket is a stand-in",
        (req) => [typeof req.socket.remoteAddress, req.socket === req.connection, typeof req.socket.localPort],
        "GET /a",
      ),
      differs: { id: "socket", why: "there is none", hera: [{ status: 200, body: '["string",true,"undefined"]' }] },
    },
    sees("aborted and destroyed", (req) => [req.aborted, req.destroyed], "GET /a"),

    ...[
      ["If-None-Match", 'W/"1"', true],
      ["If-None-Match", '"2"', false],
      ["If-None-Match", "*", true],
      ["If-Modified-Since", "Sat, 01 Jan 2022 00:00:00 GMT", true],
      ["If-Modified-Since", "Fri, 01 Jan 2021 00:00:00 GMT", false],
    ].map(([name, value]) => ({
      name: `fresh by ${name}: ${value}`,
      app(app) {
        app.all("/a", (req, res) => {
          res.set({ ETag: 'W/"1"', "Last-Modified": "Sat, 01 Jan 2022 00:00:00 GMT" });
          const told = [req.fresh, req.stale];
          res.removeHeader("ETag");
          res.removeHeader("Last-Modified");
          res.set("x-told", told.join()).status(200).end();
        });
      },
      requests: [
        headers({ [name]: value }),
        { method: "POST", path: "/a", headers: { [name]: value } },
        headers({ [name]: value, "cache-control": "no-cache" }),
      ],
    })),

    {
      name: "body is read as a stream of bytes by iteration",
      app(app) {
        app.post("/a", async (req, res) => {
          const parts = [];
          for await (const part of req) parts.push(part);
          res.send(Buffer.concat(parts));
        });
      },
      requests: [
        post("text/plain", "some text"),
        post("application/json", '{"a":1}'),
        post("", "x".repeat(200_000)),
        { method: "POST", path: "/a" },
      ],
    },
    {
      name: "body is read by events",
      app(app) {
        app.post("/a", (req, res) => {
          let text = "";
          req.setEncoding("utf8");
          req.on("data", (part) => {
            text += part;
          });
          req.on("end", () => res.send(`<${text}>`));
        });
      },
      requests: [post("text/plain", "s\u00f6me text"), { method: "POST", path: "/a" }],
    },
    {
      name: "body is piped into the answer",
      app(app) {
        app.post("/a", (req, res) => {
          res.type("bin");
          req.pipe(res);
        });
      },
      requests: [post("text/plain", "some text"), post("", Buffer.alloc(400_000, 7))],
    },
    {
      name: "body that nobody reads does no harm",
      app(app) {
        app.post("/a", (_req, res) => res.send("unread"));
      },
      requests: [post("text/plain", "x".repeat(100_000))],
    },
    {
      name: "body of a GET",
      app(app, lib) {
        app.use(lib.json());
        app.get("/a", (req, res) => res.json(req.body ?? null));
      },
      requests: [
        {
          method: "GET",
          path: "/a",
          headers: { "content-type": "application/json", "content-length": "7" },
          body: '{"a":1}',
        },
      ],
    },
  ],
};

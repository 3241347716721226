/** Answers: status, bodies, and what their headers say of them. */

const answers = (name, handler, ...requests) => ({
  name,
  app(app) {
    app.all("/a", handler);
  },
  requests: requests.length > 0 ? requests : ["GET /a"],
});
const headers = (all, method = "GET") => ({ method, path: "/a", headers: all });
const accept = (type) => headers({ accept: type });

/** Gives the name of what `attempt` throws, and answers with it. */
const thrown = (attempt) => (req, res) => {
  let told = "nothing";
  try {
    attempt(res, req);
  } catch (error) {
    told = `${error.name} ${error.code ?? ""}`;
  }
  res.removeHeader("x-bad");
  res.status(200).type("text").send(told);
};

const values = [
  ["text", "text"],
  ["empty text", ""],
  ["text above ASCII", "\u00e4\u20ac\u{1f600}"],
  ["HTML", "<p>hello</p>"],
  ["Buffer", Buffer.from([0, 1, 255])],
  ["empty Buffer", Buffer.alloc(0)],
  ["Uint8Array", new Uint8Array([1, 2, 3])],
  ["view of a larger Uint8Array", new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
  ["object", { a: 1, b: [true, null] }],
  ["list", [1, "2"]],
  ["number", 42],
  ["true", true],
  ["false", false],
  ["null", null],
  ["undefined", undefined],
  ["large text", "x".repeat(100_000)],
  ["text over one frame", "\u00e4".repeat(200_000)],
  ["Buffer over one frame", Buffer.alloc(600_000, 65)],
];
const jsonValues = [
  ["object", { a: 1 }],
  ["list", []],
  ["text", 'te"xt'],
  ["number", 1.5],
  ["null", null],
  ["undefined", undefined],
  ["Date", new Date(0)],
  ["toJSON", { toJSON: () => ({ made: true }) }],
  ["what JSON leaves out", { a: undefined, f() {}, n: Number.NaN }],
  ["text above ASCII", { "\u00e4": "\u2028\u{1f600}" }],
];

export default {
  title: "response",
  cases: [
    ...values.map(([name, value]) => answers(`send of ${name}`, (_req, res) => res.send(value), "GET /a", "HEAD /a")),
    ...jsonValues.map(([name, value]) => answers(`json of ${name}`, (_req, res) => res.json(value))),
    answers("send with a type that was set", (_req, res) => res.type("txt").send("<p>")),
    answers("send adds the charset to a type without one", (_req, res) =>
      res.set("Content-Type", "text/x-mine").send("x"),
    ),
    answers("send makes the charset UTF-8", (_req, res) =>
      res.set("Content-Type", "text/plain; charset=latin1").send("x"),
    ),
    answers("send of bytes with a type that was set", (_req, res) => res.type("png").send(Buffer.from("x"))),
    answers("json with a type that was set", (_req, res) => res.type("application/vnd.api+json").json({ a: 1 })),
    answers("send of an object with a type that was set", (_req, res) => res.type("text/plain").send({ a: 1 })),
    answers("end without a body", (_req, res) => res.end()),
    answers("end with text", (_req, res) => res.end("text")),
    answers("end with text in another encoding", (_req, res) => res.end("aGVsbG8=", "base64")),
    answers("end with bytes", (_req, res) => res.end(Buffer.from("bytes"))),
    answers("end calls back once it is out", (_req, res) => res.set("x-a", "1").end("text", () => {})),
    answers("write and end", (_req, res) => {
      res.write("one ");
      res.write(Buffer.from("two "));
      res.write("ZHJlaQ==", "base64");
      res.end(" end");
    }),
    answers(
      "write of a length that was told",
      (_req, res) => {
        res.set("Content-Length", "6");
        res.write("one");
        res.end("two");
      },
      "GET /a",
      "HEAD /a",
    ),
    answers("write of large pieces waits for drain", async (_req, res) => {
      res.type("bin");
      for (let i = 0; i < 30; i++) {
        if (!res.write(Buffer.alloc(50_000, i))) await new Promise((room) => res.once("drain", room));
      }
      res.end();
    }),
    answers("writeHead with status and headers", (_req, res) => {
      res.set("x-a", "1");
      res.writeHead(202, { "x-b": "2", "X-A": "3" });
      res.end("x");
    }),
    answers("writeHead with a reason and a list", (_req, res) =>
      res.writeHead(200, "Fine", ["x-a", "1", "x-b", "2"]).end(),
    ),
    answers("flushHeaders sends the head first", (_req, res) => {
      res.set("x-a", "1").flushHeaders();
      setImmediate(() => res.end("later"));
    }),
    ...[201, 202, 204, 205, 206, 301, 304, 400, 404, 418, 429, 451, 500, 503, 599].map((code) =>
      answers(`status ${code} with a body`, (_req, res) => res.status(code).send("body"), "GET /a", "HEAD /a"),
    ),
    ...[200, 204, 304, 404, 500, 299, 599].map((code) =>
      answers(`sendStatus ${code}`, (_req, res) => res.sendStatus(code)),
    ),
    answers("status gives itself", (_req, res) =>
      res
        .status(201)
        .set("x-a", "1")
        .type("text")
        .json(res === res.status(201)),
    ),
    answers("statusCode that is set", (_req, res) => {
      res.statusCode = 203;
      res.end("x");
    }),
    ...["200", 200.5, "abc", null, undefined].map((code) =>
      answers(
        `status of ${JSON.stringify(code)} throws`,
        thrown((res) => res.status(code)),
      ),
    ),
    ...[99, 1000, 0, -1].map((code) =>
      answers(
        `status of ${code} throws`,
        thrown((res) => res.status(code)),
      ),
    ),
    {
      ...answers("status of 600 to 999", (_req, res) => res.status(799).send("odd")),
      differs: {
        id: "status-range",
        why: "no other status is an answer",
        hera: [{ status: 500, json: { code: "handler_failed" } }],
      },
    },

    answers(
      "etag of equal bodies answers 304",
      (_req, res) => res.send("text"),
      headers({ "if-none-match": 'W/"4-Nyq4RB7fzMMvpQa6xcYQNLyY2z4"' }),
      headers({ "if-none-match": '"other"' }),
    ),
    answers(
      "304 for every etag",
      (_req, res) => res.set("x-a", "1").send("text"),
      headers({ "if-none-match": "*" }),
      headers({ "if-none-match": "*" }, "HEAD"),
      headers({ "if-none-match": "*" }, "POST"),
    ),
    answers(
      "no 304 for an answer that is no success",
      (_req, res) => res.status(404).send("text"),
      headers({ "if-none-match": "*" }),
    ),
    answers(
      "etag of one's own is kept",
      (_req, res) => res.set("ETag", '"mine"').send("text"),
      "GET /a",
      headers({ "if-none-match": '"mine"' }),
    ),
    answers(
      "last-modified answers 304",
      (_req, res) => res.set("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT").send("x"),
      headers({ "if-modified-since": "Sat, 01 Jan 2022 00:00:00 GMT" }),
      headers({ "if-modified-since": "Fri, 31 Dec 2021 00:00:00 GMT" }),
    ),
    answers(
      "no-cache asks for the body all the same",
      (_req, res) => res.send("text"),
      headers({ "if-none-match": "*", "cache-control": "no-cache" }),
    ),

    answers("jsonp without a callback", (_req, res) => res.jsonp({ a: 1 })),
    ...["cb", "a.b[c]", "evil(1)", "x%3Cscript%3E", ""].map((name) =>
      answers(`jsonp with the callback ${JSON.stringify(name)}`, (_req, res) => res.jsonp({ a: "\u2028<" }), {
        method: "GET",
        path: `/a?callback=${name}`,
      }),
    ),
    answers("jsonp with two callbacks takes the first", (_req, res) => res.jsonp(1), {
      method: "GET",
      path: "/a?callback=x&callback=y",
    }),
    {
      name: "jsonp callback name",
      app(app) {
        app.set("jsonp callback name", "fn");
        app.get("/a", (_req, res) => res.jsonp({ a: 1 }));
      },
      requests: ["GET /a?fn=f", "GET /a?callback=f"],
    },

    answers(
      "format picks by Accept",
      (_req, res) => {
        res.format({
          "text/plain": () => res.send("text"),
          html: () => res.send("<p>html</p>"),
          json: () => res.json({ json: true }),
        });
      },
      accept("application/json"),
      accept("text/html"),
      accept("text/*"),
      accept("*/*"),
      "GET /a",
      accept("application/json;q=0.2, text/html"),
    ),
    answers(
      "format by default",
      (_req, res) => res.format({ json: () => res.json(1), default: () => res.send("default") }),
      accept("image/png"),
      accept("application/json"),
    ),
    {
      name: "format that has nothing to offer is 406 for the error handlers",
      app(app) {
        app.get("/a", (_req, res) => res.format({ json: () => res.json(1), html: () => res.send("x") }));
        app.use((error, _req, res, _next) => res.status(error.status).json([error.message, error.types]));
      },
      requests: [accept("image/png")],
    },
    answers("format is given req, res and next", (_req, res) =>
      res.format({ text: (req, same, next) => same.send([req.url, same === res, typeof next].join()) }),
    ),

    ...[
      "/b",
      "http://example.com/",
      "../x",
      "/\u00e4 b?c=d&e",
      "back",
      "//other/x",
      "javascript:alert(1)",
      "/%20%zz",
      '/"><script>',
    ].map((url) =>
      answers(
        `redirect to ${url}`,
        (_req, res) => res.redirect(url),
        "GET /a",
        accept("text/html"),
        accept("application/json"),
        "HEAD /a",
      ),
    ),
    ...[301, 303, 307, 308].map((code) =>
      answers(`redirect with ${code}`, (_req, res) => res.redirect(code, "/b"), accept("text/plain")),
    ),
    answers("location", (_req, res) => res.location("/\u00fc?x=[1]").end()),
    answers("links", (_req, res) =>
      res
        .links({ next: "/2", last: "/9" })
        .links({ prev: ["/0", "/00"] })
        .end(),
    ),

    answers(
      "body of HEAD by write and end",
      (_req, res) => {
        res.write("one");
        res.end("two");
      },
      "HEAD /a",
    ),
    answers("204 by end with a body", (_req, res) => res.status(204).end("body")),
    answers("large JSON", (_req, res) =>
      res.json({ rows: Array.from({ length: 20_000 }, (_, i) => ({ i, text: `row ${i}` })) }),
    ),
    answers("answer of an async handler", async (_req, res) => {
      await null;
      res.json("async");
    }),
  ],
};

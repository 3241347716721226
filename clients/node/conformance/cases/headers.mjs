/** Headers of answers, cookies, and files. */
import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("../fixtures", import.meta.url));
const file = (name) => `${root}/${name}`;

const answers = (name, handler, ...requests) => ({
  name,
  app(app) {
    app.all("/a", handler);
    app.use((_req, res) => res.status(404).json("passed on"));
    app.use((error, _req, res, _next) =>
      res.status(error.status ?? 500).json([error.name, error.status ?? null, error.code ?? null]),
    );
  },
  requests: requests.length > 0 ? requests : ["GET /a"],
});
const headers = (all, method = "GET") => ({ method, path: "/a", headers: all });

/** Tells what `attempt` throws. */
const throws = (name, attempt) =>
  answers(name, (_req, res) => {
    let told = "nothing";
    try {
      attempt(res);
    } catch (error) {
      told = [error.name, error.code ?? null].join(" ");
    }
    res.send(told);
  });

export default {
  title: "headers",
  cases: [
    answers("set of a name and a value", (_req, res) => res.set("X-A", "1").end()),
    answers("set of an object", (_req, res) => res.set({ "X-A": "1", "X-B": 2, "X-C": ["3", "4"] }).end()),
    answers("set of a list is a header for each", (_req, res) => res.set("X-A", ["1", "2"]).end()),
    answers("set of a number, a boolean, null and undefined", (_req, res) =>
      res.set("x-n", 1).set("x-b", true).set("x-null", null).set("x-u", undefined).end(),
    ),
    answers("set again replaces", (_req, res) => res.set("X-A", "1").set("x-a", "2").end()),
    answers("header is set by another name", (_req, res) => res.header("X-A", "1").header({ "X-B": "2" }).end()),
    answers("set of a content type adds its charset", (_req, res) =>
      res.set("Content-Type", "text/html").set("content-type", "application/json").end("{}"),
    ),
    answers("set of a content type that has a charset keeps it", (_req, res) =>
      res.set("Content-Type", "text/html; charset=latin1").end("x"),
    ),
    answers("get gives what was set", (_req, res) =>
      res
        .set("X-A", "1")
        .set("X-L", ["1", "2"])
        .json([res.get("x-a"), res.get("X-L"), res.get("none") ?? null]),
    ),
    answers("append adds", (_req, res) =>
      res.append("X-A", "1").append("X-A", "2").append("X-A", ["3", "4"]).append("Link", "<a>").end(),
    ),
    answers("setHeader, getHeader, hasHeader, removeHeader, getHeaderNames, getHeaders", (_req, res) => {
      res.setHeader("X-A", "1");
      res.setHeader("X-B", ["2", "3"]);
      res.setHeader("X-Gone", "x");
      res.removeHeader("x-gone");
      res.removeHeader("x-powered-by");
      const told = [
        res.getHeader("x-a"),
        res.hasHeader("X-B"),
        res.hasHeader("x-gone"),
        res.getHeaderNames(),
        { ...res.getHeaders() },
      ];
      res.end(JSON.stringify(told));
    }),
    answers("appendHeader and setHeaders", (_req, res) => {
      res.appendHeader("x-a", "1");
      res.appendHeader("x-a", ["2", "3"]);
      res.setHeaders(new Map([["x-b", "4"]]));
      res.setHeaders(new Headers({ "x-c": "5" }));
      res.end();
    }),
    answers("value with a tab, and above ASCII as Latin-1", (_req, res) => res.set("X-A", "a\tb caf\u00e9").end()),
    answers("empty value", (_req, res) => res.set("X-A", "").end()),
    throws("value with CR and LF", (res) => res.set("X-A", "a\r\nb: c")),
    throws("value with NUL", (res) => res.set("X-A", "a\0b")),
    throws("value above Latin-1", (res) => res.set("X-A", "\u20ac")),
    throws("name that is no token", (res) => res.set("X A", "1")),
    throws("empty name", (res) => res.set("", "1")),
    throws("value that is undefined, set as Node does", (res) => res.setHeader("X-A", undefined)),
    throws("content type as a list", (res) => res.set("Content-Type", ["text/html"])),
    throws("text that is no text or bytes", (res) => res.write(42)),
    throws("null as a piece", (res) => res.write(null)),

    ...[
      "html",
      ".html",
      "json",
      "text/html",
      "image/svg+xml",
      "png",
      "application/x-none",
      "nothing-known",
      "txt",
      "bin",
    ].map((type) => answers(`type ${type}`, (_req, res) => res.type(type).end("x"))),
    answers("contentType is type", (_req, res) => res.contentType("xml").end("x")),
    answers("vary", (_req, res) => res.vary("Accept").vary("accept").vary("Origin, Cookie").end()),
    answers("vary by a list", (_req, res) => res.vary(["Accept", "User-Agent"]).end()),
    answers("vary by everything", (_req, res) => res.vary("Accept").vary("*").vary("Origin").end()),
    answers("attachment", (_req, res) => res.attachment().send("x")),
    ...["report.pdf", "dir/data.json", "caf\u00e9 \u20ac.txt", 'with "quotes".png', "noextension"].map((name) =>
      answers(`attachment ${name}`, (_req, res) => res.attachment(name).send("x")),
    ),

    answers("cookie", (_req, res) => res.cookie("name", "value").cookie("other", "a b;c\u00e4").end()),
    answers("cookie with options", (_req, res) =>
      res
        .cookie("a", "1", {
          path: "/x",
          domain: "example.com",
          secure: true,
          httpOnly: true,
          sameSite: "strict",
          expires: new Date(0),
        })
        .end(),
    ),
    ...[true, "lax", "none", false].map((sameSite) =>
      answers(`cookie sameSite ${sameSite}`, (_req, res) => res.cookie("a", "1", { sameSite }).end()),
    ),
    answers("cookie priority and partitioned", (_req, res) =>
      res.cookie("a", "1", { priority: "high", partitioned: true }).end(),
    ),
    answers("cookie of an object", (_req, res) => res.cookie("a", { b: [1] }).end()),
    answers("cookie of a number", (_req, res) => res.cookie("a", 7).end()),
    answers("cookie with an encoding of its own", (_req, res) =>
      res.cookie("a", "b c", { encode: (text) => text.replace(" ", "_") }).end(),
    ),
    answers("cookie for an age", (_req, res) => {
      res.cookie("a", "1", { maxAge: 60_000 });
      res.set("Set-Cookie", String(res.get("Set-Cookie")).replace(/Expires=[^;]+GMT/, "Expires=then")).end();
    }),
    answers("cookie that is signed", (req, res) => {
      req.secret = "key";
      res.cookie("a", "1", { signed: true }).end();
    }),
    answers("cookie that is signed without a secret", (_req, res) => res.cookie("a", "1", { signed: true }).end()),
    answers("cookie with a name that none has", (_req, res) => res.cookie("a b", "1").end()),
    answers("cookie with a path that none has", (_req, res) => res.cookie("a", "1", { path: "/\u0007" }).end()),
    answers("cookie with a bad date", (_req, res) => res.cookie("a", "1", { expires: "tomorrow" }).end()),
    answers("clearCookie", (_req, res) => res.clearCookie("a").clearCookie("b", { path: "/x", maxAge: 5 }).end()),

    answers("sendFile", (_req, res) => res.sendFile(file("hello.txt")), "GET /a", "HEAD /a"),
    answers("sendFile under a root", (_req, res) => res.sendFile("page one.html", { root })),
    ...["bytes=0-3", "bytes=-2", "bytes=50-60", "bytes=1-2,5-6"].map((range) =>
      answers(`sendFile by range ${range}`, (_req, res) => res.sendFile(file("digits")), headers({ range })),
    ),
    answers(
      "sendFile that is fresh",
      (_req, res) => res.sendFile(file("hello.txt")),
      headers({ "if-none-match": "*" }),
      headers({ "if-modified-since": new Date(4e12).toUTCString() }),
    ),
    answers(
      "sendFile with a condition that fails",
      (_req, res) => res.sendFile(file("hello.txt")),
      headers({ "if-match": '"other"' }),
    ),
    answers("sendFile with options", (_req, res) =>
      res.sendFile("data.json", {
        root,
        maxAge: "1d",
        immutable: true,
        lastModified: false,
        acceptRanges: false,
        headers: { "x-file": "1" },
      }),
    ),
    answers("sendFile without cache control and etag", (_req, res) => {
      res.app.disable("etag");
      res.sendFile(file("hello.txt"), { cacheControl: false });
    }),
    answers("sendFile keeps a type that was set", (_req, res) => res.type("text/x-mine").sendFile(file("data.json"))),
    answers("sendFile of nothing is 404 for the error handlers", (_req, res) => res.sendFile(file("nothing.txt"))),
    answers("sendFile of a folder", (_req, res) => res.sendFile(root)),
    answers("sendFile out of its root is 403", (_req, res) => res.sendFile("../package.json", { root })),
    answers("sendFile of a hidden file", (_req, res) => res.sendFile(".hidden/secret.txt", { root })),
    answers("sendFile of a hidden file that may be seen", (_req, res) =>
      res.sendFile(".hidden/secret.txt", { root, dotfiles: "allow" }),
    ),
    answers("sendFile of a hidden file that is denied", (_req, res) =>
      res.sendFile(".hidden/secret.txt", { root, dotfiles: "deny" }),
    ),
    answers("sendFile of a relative path", (_req, res) => res.sendFile("hello.txt")),
    answers("sendFile of no path", (_req, res) => res.sendFile(undefined)),
    answers("sendFile calls back with what went wrong", (_req, res) =>
      res.sendFile(file("nothing.txt"), (error) => res.status(410).json([error.status, error.code])),
    ),
    {
      name: "sendFile calls back when the file is out",
      app(app) {
        app.get("/a", (_req, res) => {
          res.sendFile(file("hello.txt"), (error) => {
            app.locals.told = [error ?? null, res.headersSent];
          });
        });
        app.get("/told", (_req, res) => res.json(app.locals.told));
      },
      requests: ["GET /a", "GET /told"],
    },
    answers("download", (_req, res) => res.download(file("hello.txt"))),
    answers("download by another name", (_req, res) => res.download(file("hello.txt"), "b\u00fcro.txt")),
    answers("download with options", (_req, res) =>
      res.download("hello.txt", "named.txt", { root, headers: { "X-A": "1", "Content-Disposition": "mine" } }),
    ),
    answers("download of nothing", (_req, res) => res.download(file("nothing.txt"))),
    answers(
      "file by a stream of one's own",
      (_req, res) => void createReadStream(file("hello.txt")).pipe(res.type("text")),
    ),

    answers("answer that is packed already", (_req, res) =>
      res.set("Content-Encoding", "gzip").type("text").send(gzipSync("packed")),
    ),
    {
      ...answers("headers of the connection end at the broker", (_req, res) => {
        res.set({ "Keep-Alive": "timeout=99", Upgrade: "h2c", "X-Kept": "1" }).send("x");
      }),
      differs: {
        id: "hop-by-hop",
        why: "RFC 9110, 7.6.1",
        hera: [{ status: 200, headers: { upgrade: undefined, "x-kept": "1" } }],
      },
    },
    {
      ...answers("more headers than an answer may have", (_req, res) => {
        for (let i = 0; i < 120; i++) res.append("x-many", String(i));
        res.send("x");
      }),
      differs: { id: "header-limits", why: "the protocol's limits", hera: [{ status: 500 }] },
    },
  ],
};

/** An answer and a body as Node's streams: what middleware listens to, wraps and pipes. */
import { PassThrough, Readable, Transform } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { createGunzip, gzipSync } from "node:zlib";

/** One call on `/a`, and one that tells what `handler` wrote down of it. */
const tells = (name, handler, ...requests) => ({
  name,
  app(app) {
    const events = [];
    app.all("/a", (req, res, next) => handler(req, res, (event) => events.push(event), next));
    app.get("/told", (_req, res) => res.json(events.splice(0)));
    app.use((error, _req, res, _next) => res.status(500).json([error.name, error.code ?? null]));
  },
  requests: (requests.length > 0 ? requests : ["GET /a"]).flatMap((each) => [each, "GET /told"]),
});
const post = (body, headers = {}) => ({
  method: "POST",
  path: "/a",
  headers: { "content-type": "text/plain", ...headers },
  body,
});
const upper = () =>
  new Transform({
    transform(piece, _encoding, done) {
      done(null, String(piece).toUpperCase());
    },
  });

export default {
  title: "stream",
  cases: [
    tells(
      "callbacks of write and end run before close, in order",
      (_req, res, tell) => {
        res.on("finish", () => tell("finish"));
        res.on("close", () => tell("close"));
        res.write("one", () => tell("one"));
        res.write("two", "utf8", () => tell("two"));
        res.end("three", () => tell("end"));
        tell("returned");
      },
      "GET /a",
    ),
    tells("nothing of an answer is told before end returns", (_req, res, tell) => {
      res.on("finish", () => tell("finish"));
      res.on("close", () => tell("close"));
      res.end("text");
      tell("returned");
      process.nextTick(() => tell("tick"));
    }),
    tells("end by callback alone", (_req, res, tell) => res.end(() => tell(`end ${res.writableFinished}`))),
    tells("end with an encoding and a callback", (_req, res, tell) => res.end("6869", "hex", () => tell("end"))),
    tells("end without a body tells of it", (_req, res, tell) => {
      res.on("close", () => tell(`close ${res.writableFinished} ${res.destroyed} ${res.closed}`));
      res.status(204).end();
    }),
    tells(
      "finish of an answer to HEAD",
      (_req, res, tell) => res.on("finish", () => tell("finish")).send("x"),
      "HEAD /a",
    ),
    tells("finish of 304", (_req, res, tell) => res.on("finish", () => tell(res.statusCode)).send("x"), {
      method: "GET",
      path: "/a",
      headers: { "if-none-match": "*" },
    }),
    tells("finish of an error's answer", (_req, res, tell, next) => {
      res.on("finish", () => tell(res.statusCode));
      next(new Error("broken"));
    }),
    tells("listeners by once, prependListener, off", (_req, res, tell) => {
      const never = () => tell("never");
      res.on("finish", never);
      res.once("finish", () => tell("second"));
      res.prependListener("finish", () => tell("first"));
      res.off("finish", never);
      tell(res.listenerCount("finish") >= 2);
      res.end();
    }),
    tells("headersSent from the first write on", (_req, res, tell) => {
      tell(res.headersSent);
      res.write("");
      tell(res.headersSent);
      res.end("x");
    }),
    tells("headers can be looked at behind the end", (_req, res, tell) => {
      res.set("x-a", "1").send("text");
      tell([
        res.get("x-a"),
        res.getHeader("content-length"),
        res.hasHeader("etag"),
        res.getHeaderNames().includes("x-a"),
      ]);
    }),
    tells("writable and its kin", (_req, res, tell) => {
      const look = () =>
        tell([res.writable, res.writableEnded, res.writableFinished, res.destroyed, res.errored ?? null]);
      look();
      res.on("finish", look);
      res.end("x");
      tell([res.writableEnded, res.writableFinished]);
    }),
    tells("write gives true where there is room", (_req, res, tell) => {
      tell(res.write("x"));
      tell(res.writableNeedDrain);
      res.end();
    }),
    tells("cork and uncork", (_req, res, tell) => {
      res.cork();
      res.write("one ");
      res.write("two");
      tell(res.headersSent);
      res.uncork();
      res.end();
    }),
    tells("statusMessage", (_req, res, tell) => {
      tell(res.statusMessage ?? null);
      res.statusMessage = "Mine";
      tell(res.statusMessage);
      res.end();
    }),
    tells("wrapped write and end see every piece", (_req, res, tell) => {
      const { write, end } = res;
      res.write = (piece, ...rest) => {
        tell(`write ${piece}`);
        return write.call(res, piece, ...rest);
      };
      res.end = (piece, ...rest) => {
        tell(`end ${piece}`);
        return end.call(res, piece, ...rest);
      };
      res.type("text").write("one");
      res.end("two");
    }),
    tells("wrapped end sees what send gives", (_req, res, tell) => {
      const { end } = res;
      res.end = (piece, encoding, ...rest) => {
        tell([String(piece), encoding ?? null]);
        return end.call(res, piece, encoding, ...rest);
      };
      res.send("text");
    }),
    tells("wrapped writeHead is called once, with the status", (_req, res, tell) => {
      const { writeHead } = res;
      res.writeHead = (status, ...rest) => {
        tell(status);
        res.setHeader("x-late", "just in time");
        return writeHead.call(res, status, ...rest);
      };
      res.status(201).send("text");
    }),
    tells("wrapped setHeader sees what set and json give", (_req, res, tell) => {
      const { setHeader } = res;
      res.setHeader = (name, value) => {
        if (name.toLowerCase() === "x-a") tell(value);
        return setHeader.call(res, name, value);
      };
      res.set("X-A", 1).json({});
    }),
    tells("end that is held back until later", (_req, res, tell) => {
      const { end } = res;
      res.end = (...all) => {
        tell("held");
        setImmediate(() => end.apply(res, all));
        return res;
      };
      res.send("later");
    }),
    tells("pipe of a source into the answer", (_req, res, tell) => {
      res.on("pipe", () => tell("pipe"));
      res.on("unpipe", () => tell("unpipe"));
      res.on("finish", () => tell("finish"));
      Readable.from(["one ", "two ", "three"]).pipe(res.type("text"));
    }),
    tells("pipe without an end", (_req, res, tell) => {
      const source = Readable.from(["one "]);
      source.on("end", () => {
        tell(res.writableEnded);
        res.end("two");
      });
      source.pipe(res, { end: false });
    }),
    tells("pipeline into the answer resolves when it is out", async (_req, res, tell) => {
      await pipeline(Readable.from(["a", "b"]), upper(), res);
      tell([res.writableEnded, res.writableFinished]);
    }),
    tells("pipeline of a source over one frame", async (_req, res, tell) => {
      const pieces = Array.from({ length: 40 }, (_, i) => Buffer.alloc(20_000, 65 + (i % 26)));
      await pipeline(Readable.from(pieces, { objectMode: false }), res);
      tell(res.writableFinished);
    }),
    tells("pipeline by generator", async (_req, res, tell) => {
      await pipeline(async function* () {
        yield "one ";
        yield "two";
      }, res);
      tell(res.writableFinished);
    }),
    tells("finished waits for the answer", async (_req, res, tell) => {
      const over = finished(res).then(() => tell(`over ${res.writableFinished}`));
      res.end("x");
      await over;
    }),
    tells("pieces at intervals", async (_req, res, tell) => {
      for (const piece of ["one ", "two ", "three"]) {
        res.write(piece);
        await new Promise((turn) => setImmediate(turn));
      }
      res.end();
      tell("done");
    }),
    tells("error of a source before its first piece is for the handler", (_req, res, tell, next) => {
      const source = new PassThrough();
      source.on("error", (error) => {
        tell(error.message);
        next(error);
      });
      source.pipe(res);
      source.destroy(new Error("broken source"));
    }),

    tells(
      "body through a transform into the answer",
      (req, res) => pipeline(req, upper(), res.type("text")),
      post("some text"),
      post("x".repeat(300_000)),
    ),
    tells(
      "body that is unpacked by the app",
      (req, res) => pipeline(req, createGunzip(), res.type("text")),
      post(gzipSync("packed"), { "content-encoding": "gzip" }),
    ),
    tells(
      "end of a body comes once, and readableEnded with it",
      (req, res, tell) => {
        tell([req.readable, req.readableEnded, req.readableFlowing]);
        req.on("data", (piece) => tell(String(piece)));
        req.on("end", () => {
          tell(["end", req.readableEnded, req.complete]);
          res.end("x");
        });
      },
      post("text"),
      { method: "POST", path: "/a" },
    ),
    tells(
      "body by readable and read",
      (req, res, tell) => {
        const parts = [];
        req.on("readable", () => {
          for (let part = req.read(); part !== null; part = req.read()) parts.push(part);
        });
        req.on("end", () => {
          tell(Buffer.concat(parts).toString());
          res.end();
        });
      },
      post("text"),
    ),
    tells(
      "body by resume is thrown away",
      (req, res, tell) => {
        req.on("end", () => {
          tell("end");
          res.send("gone");
        });
        req.resume();
      },
      post("text"),
      post("x".repeat(200_000)),
    ),
    tells(
      "body that waits until somebody looks",
      (req, res, tell) => {
        setImmediate(() => {
          req.setEncoding("hex");
          req.on("data", (piece) => tell(piece));
          req.on("end", () => res.end());
        });
      },
      post("text"),
    ),
    tells(
      "body that is paused and goes on",
      (req, res, tell) => {
        req.on("data", (piece) => {
          tell(String(piece));
          req.pause();
          tell(req.isPaused());
          setImmediate(() => req.resume());
        });
        req.on("end", () => res.end("x"));
      },
      post("text"),
    ),
    tells(
      "body read by two layers one behind the other",
      async (req, res, tell) => {
        const parts = [];
        for await (const part of req) parts.push(part);
        const again = [];
        for await (const part of req) again.push(part);
        tell([Buffer.concat(parts).toString(), again.length]);
        res.end();
      },
      post("text"),
    ),
    tells(
      "body by toArray and map",
      async (req, res, tell) => {
        tell((await req.map((piece) => String(piece).length).toArray()).reduce((a, b) => a + b, 0));
        res.end();
      },
      post("text"),
    ),
    tells(
      "finished of a body",
      async (req, res, tell) => {
        req.resume();
        await finished(req, { writable: false });
        tell(req.readableEnded);
        res.end();
      },
      post("text"),
    ),
    tells(
      "response that comes before the body was read",
      (req, res, tell) => {
        res.send("first");
        res.on("finish", () => tell("finish"));
        req.on("data", () => {});
      },
      post("text"),
    ),
  ],
};

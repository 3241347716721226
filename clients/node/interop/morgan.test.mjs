import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import morgan from "morgan";
import { both } from "./both.mjs";

/** A stream for morgan that tells when a line came. */
class Lines extends EventEmitter {
  all = [];

  write(line) {
    this.all.push(line.trimEnd());
    this.emit("line");
  }

  async next() {
    while (this.all.length === 0) await once(this, "line");
    return this.all.shift();
  }
}

/** Both apps, each with its own log; `same` calls both and gives the line that each wrote. */
async function logged(t, format, routes, options = {}) {
  const logs = [];
  const made = await both(t, (app) => {
    const lines = new Lines();
    // Hera's is built first.
    logs.push(lines);
    app.use(morgan(format, { ...options, stream: lines }));
    routes(app);
  });
  return {
    ...made,
    lines: { hera: logs[0], express: logs[1] },
    async line(call) {
      await made.same(call);
      return { hera: await logs[0].next(), express: await logs[1].next() };
    },
  };
}

function routes(app) {
  app.get("/text", (_req, res) => res.set("X-Kind", "text").send("hello"));
  app.post("/made", (_req, res) => res.status(201).json({ a: 1 }));
  app.get("/empty", (_req, res) => res.status(204).end());
  app.get("/broken", () => {
    throw Object.assign(new Error("broken"), { status: 502 });
  });
  app.use((error, _req, res, _next) => res.status(error.status).send("handled"));
}

test("morgan: the format combined, but for the moment and the address that called", async (t) => {
  const { line } = await logged(t, "combined", routes);
  const headers = {
    "user-agent": "tests/1",
    referer: "https://shop.example/",
    authorization: `Basic ${btoa("ann:x")}`,
  };
  const both = await line({ path: "/text?a=1", headers });
  const shape =
    /^(\S+) - ann \[\d\d\/\w{3}\/\d{4}:[\d:]{8} \+0000\] "GET \/text\?a=1 HTTP\/1\.1" 200 5 "https:\/\/shop\.example\/" "tests\/1"$/;
  for (const each of [both.hera, both.express]) assert.match(each, shape);
  assert.equal(both.hera.match(shape)[1], "127.0.0.1");
});

test("morgan: statuses, lengths and headers are those of the answer", async (t) => {
  const format = ":method :url :status :res[content-length] :res[x-kind] :req[x-a] :http-version";
  const { line } = await logged(t, format, routes);
  const cases = [
    [{ path: "/text", headers: { "x-a": "1" } }, "GET /text 200 5 text 1 1.1"],
    [{ method: "POST", path: "/made?x=1", body: { a: 1 } }, "POST /made?x=1 201 7 - - 1.1"],
    ["/empty", "GET /empty 204 - - - 1.1"],
    ["/broken", "GET /broken 502 7 - - 1.1"],
    [{ method: "HEAD", path: "/text" }, "HEAD /text 200 5 text - 1.1"],
  ];
  for (const [call, expected] of cases) {
    const { hera, express } = await line(call);
    assert.equal(hera, expected);
    assert.equal(express, expected);
  }
});

test("morgan: response-time and total-time are numbers", async (t) => {
  const { line } = await logged(t, ":response-time :total-time[0]", routes);
  const { hera } = await line("/text");
  assert.match(hera, /^\d+\.\d{3} \d+$/);
});

test("morgan: the formats dev, short, tiny and common agree", async (t) => {
  for (const format of ["dev", "short", "tiny", "common"]) {
    await t.test(format, async (t) => {
      const { line } = await logged(t, format, routes);
      const { hera, express } = await line("/text");
      const timeless = (text) => text.replace(/[\d.]+ ms/, "N ms").replace(/\[\d\d\/.*?\]/, "[TIME]");
      assert.equal(timeless(hera).replace("::ffff:", ""), timeless(express).replace("::ffff:", ""));
    });
  }
});

test("morgan: immediate writes before there is an answer, and skip leaves lines out", async (t) => {
  await t.test("immediate", async (t) => {
    const { line } = await logged(t, ":method :url :status", routes, { immediate: true });
    const { hera, express } = await line("/text");
    assert.deepEqual([hera, express], ["GET /text -", "GET /text -"]);
  });
  await t.test("skip", async (t) => {
    const skip = (_req, res) => res.statusCode < 400;
    const { line, same } = await logged(t, ":url :status", routes, { skip });
    await same("/text");
    const { hera, express } = await line("/broken");
    assert.deepEqual([hera, express], ["/broken 502", "/broken 502"]);
  });
});

test("morgan: a format and a token of the app's own", async (t) => {
  const { line } = await logged(
    t,
    (tokens, req, res) => [tokens.method(req, res), req.route?.path, res.locals.kind].join(" "),
    (app) => {
      app.get("/things/:id", (_req, res) => {
        res.locals.kind = "thing";
        res.json({});
      });
    },
  );
  const { hera, express } = await line("/things/7");
  assert.deepEqual([hera, express], ["GET /things/:id thing", "GET /things/:id thing"]);
});

test("morgan: an answer that is streamed is logged once, at its end", async (t) => {
  const goOn = [];
  const { lines, targets } = await logged(t, ":url :status :res[content-length]", (app) => {
    app.get("/pieces", (_req, res) => {
      res.write("first");
      goOn.push(() => res.end("last"));
    });
  });
  for (const name of ["hera", "express"]) {
    const req = request(`${targets[name]}/pieces`, { agent: false }).end();
    const [res] = await once(req, "response");
    await once(res, "data");
    assert.deepEqual(lines[name].all, []);
    goOn.shift()();
    assert.equal(await lines[name].next(), "/pieces 200 -");
    res.destroy();
  }
});

test("morgan: a caller that leaves gives a line without a status", async (t) => {
  const arrived = new EventEmitter();
  const { lines, targets } = await logged(t, ":url :status", (app) => {
    app.get("/slow", () => arrived.emit("call"));
  });
  for (const name of ["hera", "express"]) {
    const req = request(`${targets[name]}/slow`, { agent: false }).end();
    req.on("error", () => {});
    await once(arrived, "call");
    req.destroy();
    assert.equal(await lines[name].next(), "/slow -");
  }
});

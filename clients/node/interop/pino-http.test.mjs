import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import pinoHttp from "pino-http";
import { both } from "./both.mjs";

/** Gives the next line that was logged. */
function sink() {
  const lines = [];
  const events = new EventEmitter();
  return {
    lines,
    stream: {
      write(line) {
        lines.push(JSON.parse(line));
        events.emit("line");
      },
    },
    async next() {
      while (lines.length === 0) await once(events, "line");
      return lines.shift();
    },
  };
}

async function logged(t, options = {}) {
  const sinks = [];
  const made = await both(t, (app) => {
    const one = sink();
    // Hera's is built first.
    sinks.push(one);
    app.use(pinoHttp(options, one.stream));
    app.get("/text/:id", (req, res) => {
      req.log.info("inside");
      res.send("hello");
    });
    app.get("/broken", (_req, res) => res.status(500).send("broken"));
  });
  const next = async () => [await sinks[0].next(), await sinks[1].next()];
  return { ...made, next };
}

test("pino-http: each call is logged once, with its request and its response", async (t) => {
  const { same, next } = await logged(t);
  await same({ path: "/text/7?a=1", headers: { "x-a": "1" } });
  for (const inside of await next()) assert.equal(inside.msg, "inside");
  const [hera, express] = await next();
  assert.equal(hera.msg, "request completed");
  for (const name of ["method", "url", "query", "params"]) assert.deepEqual(hera.req[name], express.req[name], name);
  assert.equal(hera.req.headers["x-a"], "1");
  assert.deepEqual([hera.res.statusCode, express.res.statusCode], [200, 200]);
  assert.equal(hera.res.headers["content-length"], express.res.headers["content-length"]);
  assert.equal(hera.level, express.level);
  await same("/broken");
  const plain = ({ level, msg, err, res }) => [level, msg, err.message, res.statusCode];
  const [onHera, onExpress] = await next();
  assert.deepEqual(plain(onHera), plain(onExpress));
  assert.deepEqual(plain(onHera).slice(1), ["request errored", "failed with status code 500", 500]);
});

test("pino-http: the id of a request is Hera's own, unless the app gives another", async (t) => {
  await t.test("its own", async (t) => {
    const { each, next } = await logged(t);
    const { hera } = await each("/text/7");
    const [line] = await next();
    assert.equal(line.req.id, hera.headers["x-request-id"]);
  });
  await t.test("the app's", async (t) => {
    const { same } = await both(t, (app) => {
      app.use((req, _res, go) => {
        req.id = "own";
        go();
      });
      app.get("/text", (req, res) => res.send(req.id));
    });
    assert.equal((await same("/text")).text, "own");
  });
});

/** Where middleware that was made for Node and Express writes to the request, or reads what Node has there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hera, type Request, type Response } from "../src/index.js";

/** What one injected call gives for what `look` sees. */
async function seen(look: (req: Request, res: Response) => unknown, headers: Record<string, string[]> = {}) {
  const app = hera({ log: false });
  app.get("/0/a", (req, res) => res.json(look(req, res) ?? null));
  return (await app.inject({ url: "/0/a?b=1", headers })).json();
}

const REQUEST = [
  "caller",
  "complete",
  "connection",
  "data",
  "deadline",
  "headersDistinct",
  "httpVersion",
  "httpVersionMajor",
  "httpVersionMinor",
  "id",
  "originalUrl",
  "rawBody",
  "rawHeaders",
  "rawTrailers",
  "signal",
  "socket",
  "trailers",
  "trailersDistinct",
];

test("middleware may put values of its own under names that Node or Hera gives meaning to", async () => {
  for (const name of REQUEST) {
    const app = hera({ log: false });
    let before: unknown;
    app.use((req, _res, next) => {
      before = Reflect.get(req, name);
      if (req.query.write) (req as unknown as Record<string, unknown>)[name] = "own";
      next();
    });
    app.get("/0/a", (req, res) =>
      res.json({ value: Reflect.get(req, name), own: Object.hasOwn(req, name), ip: req.ip }),
    );
    const written = await app.inject("/0/a?write=1");
    assert.deepEqual(written.json(), { value: "own", own: true, ip: "127.0.0.1" }, name);
    const first = before;
    await app.inject("/0/a");
    assert.notEqual(before, "own", `${name} is written for one call alone`);
    assert.equal(typeof before, typeof first, name);
  }
});

test("middleware may write to the response what it may write to Node's", async () => {
  for (const name of ["chunkedEncoding", "connection", "finished", "shouldKeepAlive", "socket"]) {
    const look = (_req: Request, res: Response) => {
      Reflect.set(res, name, "own");
      return Reflect.get(res, name);
    };
    assert.equal(await seen(look), "own", name);
  }
});

test("what Express has as a getter cannot be written here either", async () => {
  for (const name of [
    "query",
    "path",
    "ip",
    "ips",
    "protocol",
    "secure",
    "host",
    "hostname",
    "subdomains",
    "fresh",
    "xhr",
  ]) {
    const look = (req: Request) => {
      assert.throws(() => Object.assign(req, { [name]: "own" }), TypeError, name);
      return true;
    };
    assert.equal(await seen(look), true, name);
  }
});

test("headersDistinct lists every value of a header, headers joins them", async () => {
  const look = (req: Request) => [req.headersDistinct["x-a"], req.headersDistinct["x-b"], req.headers["x-a"]];
  assert.deepEqual(await seen(look, { "X-A": ["1", "2"], "X-B": ["3"] }), [["1", "2"], ["3"], "1, 2"]);
});

test("the length that send sets is text, as a header set by hand", async () => {
  const app = hera({ log: false });
  let length: unknown;
  app.get("/0/a", (_req, res) => {
    res.send("hello");
    length = res.getHeader("Content-Length");
  });
  await app.inject("/0/a");
  assert.equal(length, "5");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Request } from "../src/index.js";
import type { Received, Worker } from "./fake-broker.js";
import { connected } from "./fixture.js";

const json = [["content-type", "application/json; charset=UTF-8"]];

/** Asks an endpoint that gives what `look` sees. */
async function seen(t: Parameters<typeof connected>[0], look: (req: Request) => unknown, params = {}, body?: Buffer) {
  const { worker } = await connected(t, (app) => app.post("/0/:id", (req, res) => res.json(look(req) ?? null)));
  return parsed(await worker.ask("POST /0/{id}", { path: "/0/7", ...params }, body));
}

function parsed({ message, attachment }: Received) {
  assert.equal(message.result?.status, 200, `${JSON.stringify(message)} ${attachment}`);
  return JSON.parse(attachment.toString());
}

async function status(worker: Worker, headers: string[][], body: Buffer): Promise<[number, string]> {
  const { message, attachment } = await worker.ask("POST /0/a", { headers }, body);
  return [message.result.status, JSON.parse(attachment.toString()).code];
}

test("everything that a call brings is there", async (t) => {
  const look = (req: Request) => ({
    method: req.method,
    path: req.path,
    url: req.url,
    originalUrl: req.originalUrl,
    params: req.params,
    query: req.query,
    id: req.id,
    caller: req.caller,
    ip: req.ip,
    headers: req.headers,
    rawHeaders: req.rawHeaders,
    get: [req.get("X-A"), req.get("nope") ?? null, req.get("Referrer")],
    aborted: req.signal.aborted,
    left: req.deadline.getTime() - Date.now() > 10_000,
  });
  const got = await seen(t, look, {
    query: "a=1&b=2&b=3&c=%C3%A4+x",
    headers: [
      ["x-a", "1"],
      ["x-a", "2"],
      ["cookie", "a=1"],
      ["cookie", "b=2"],
      ["referer", "r"],
      ["host", "h"],
      ["host", "i"],
    ],
  });

  assert.deepEqual(got, {
    method: "POST",
    path: "/0/7",
    url: "/0/7?a=1&b=2&b=3&c=%C3%A4+x",
    originalUrl: "/0/7?a=1&b=2&b=3&c=%C3%A4+x",
    params: { id: "7" },
    query: { a: "1", b: ["2", "3"], c: "ä x" },
    id: "r-1",
    caller: { token: "demo", labels: {}, ip: "127.0.0.1" },
    ip: "127.0.0.1",
    headers: { "x-a": "1, 2", cookie: "a=1; b=2", referer: "r", host: "h" },
    rawHeaders: ["x-a", "1", "x-a", "2", "cookie", "a=1", "cookie", "b=2", "referer", "r", "host", "h", "host", "i"],
    get: ["1, 2", null, "r"],
    aborted: false,
    left: true,
  });
});

test("data merges query, body and path parameters, the later wins", async (t) => {
  const body = Buffer.from('{"b":"body","id":"body","n":1}');
  const got = await seen(t, (req) => req.data, { query: "a=query&b=query&id=query", headers: json }, body);
  assert.deepEqual(got, { a: "query", b: "body", n: 1, id: "7" });
});

test("form is parsed", async (t) => {
  const headers = [["content-type", "application/x-www-form-urlencoded"]];
  assert.deepEqual(await seen(t, (req) => req.body, { headers }, Buffer.from("a=1&a=2&b=x+y")), {
    a: ["1", "2"],
    b: "x y",
  });
});

test("body of another type stays bytes, an empty one is undefined", async (t) => {
  const look = (req: Request) => [Buffer.isBuffer(req.body), String(req.body)];
  assert.deepEqual(await seen(t, look, { headers: [["content-type", "image/png"]] }, Buffer.from("abc")), [
    true,
    "abc",
  ]);
  assert.deepEqual(await seen(t, look, {}, Buffer.from("abc")), [true, "abc"]);
  assert.deepEqual(await seen(t, look, { headers: json }), [false, "undefined"]);
});

test("bad body is a 400 problem before any handler, charset other than utf-8 415", async (t) => {
  let ran = 0;
  const { worker } = await connected(t, (app) => app.post("/0/a", () => ran++));

  assert.deepEqual(await status(worker, json, Buffer.from("{bad")), [400, "bad_body"]);
  assert.deepEqual(await status(worker, json, Buffer.from([0x22, 0xff, 0x22])), [400, "bad_body"]);
  const latin = [["content-type", 'application/json; charset="iso-8859-1"']];
  assert.deepEqual(await status(worker, latin, Buffer.from("{}")), [415, "unsupported_charset"]);
  assert.equal(ran, 0);
});

test("no name pollutes a prototype", async (t) => {
  const text =
    '{"__proto__":{"polluted":1},"\\u005f_proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"deep":[{"__proto__":{"polluted":1}}],"ok":1}';
  const look = (req: Request) => {
    // What a careless handler does.
    const merge = (into: Record<string, unknown>, from: Record<string, unknown>): unknown => {
      for (const name in from) {
        const value = from[name];
        if (typeof value === "object" && value !== null) {
          into[name] ??= {};
          merge(into[name] as Record<string, unknown>, value as Record<string, unknown>);
        } else into[name] = value;
      }
      return into;
    };
    for (const values of [req.body, req.query, req.data, req.params, req.headers]) merge({}, values as never);
    const bare = [req.query, req.params, req.headers, req.data].every((map) => Object.getPrototypeOf(map) === null);
    return [bare, ({} as { polluted?: unknown }).polluted ?? "clean", (req.body as { ok: number }).ok];
  };
  const params = {
    query: "__proto__=1&constructor=2&prototype=3&__proto__[polluted]=1",
    headers: [...json, ["__proto__", "1"], ["constructor", "2"]],
  };
  assert.deepEqual(await seen(t, look, params, Buffer.from(text)), [true, "clean", 1]);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("parameter named as a prototype is a parameter", async (t) => {
  const { worker } = await connected(t, (app) =>
    app.get("/0/:__proto__", (req, res) => res.json(Object.values(req.params))),
  );
  assert.deepEqual(parsed(await worker.ask("GET /0/{__proto__}", { path: "/0/x" })), ["x"]);
});

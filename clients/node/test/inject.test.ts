import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { HeraError, hera, type StubbedCall } from "../src/index.js";

test("injected call goes through the layers like a real one", async () => {
  const app = hera({ log: false });
  app.use((_req, res, next) => {
    res.set("x-seen", "1").append("set-cookie", "a=1").append("set-cookie", "b=2");
    next();
  });
  app.post("/0/users/:id", (req, res) => {
    res.status(201).json({ id: req.params.id, body: req.body, query: req.query, caller: req.caller, ip: req.ip });
  });

  const reply = await app.inject({
    url: "/0/users/7?a=1",
    body: { name: "Ada" },
    caller: { token: "shop", ip: "10.0.0.9" },
  });

  assert.equal(reply.status, 201);
  assert.deepEqual(reply.json(), {
    id: "7",
    body: { name: "Ada" },
    query: { a: "1" },
    caller: { token: "shop", labels: {}, ip: "10.0.0.9" },
    ip: "10.0.0.9",
  });
  assert.equal(reply.headers["content-type"], "application/json; charset=utf-8");
  assert.deepEqual(reply.headers["set-cookie"], ["a=1", "b=2"]);
});

test("injected call that no broker would send on is answered as a broker does", async () => {
  const app = hera({ log: false });
  app.get("/0/a", (_req, res) => void res.end());
  app.post("/0/b", { bodyLimit: 3 }, (_req, res) => void res.end());

  const codes = async (options: Parameters<typeof app.inject>[0]): Promise<unknown[]> => {
    const { status, json } = await app.inject(options);
    return [status, (json() as { code: string }).code];
  };

  assert.deepEqual(await codes("/0/nope"), [404, "not_found"]);
  assert.deepEqual(await codes("/0/../a"), [400, "bad_path"]);
  assert.deepEqual(await codes({ method: "DELETE", url: "/0/a" }), [405, "method_not_allowed"]);
  assert.deepEqual(await codes({ url: "/0/b", body: "1234" }), [413, "body_too_large"]);
});

test("injected call that fails or is never answered has an answer all the same", async () => {
  const app = hera({ log: false });
  app.get("/0/throws", () => {
    throw new Error("secret");
  });
  app.get("/0/hangs", () => {});
  app.get("/0/streams", (_req, res) => {
    res.write("a".repeat(300_000));
    res.end("b");
  });

  const failed = await app.inject("/0/throws");
  assert.equal(failed.status, 500);
  assert.ok(!failed.text.includes("secret"));
  assert.equal((await app.inject({ url: "/0/hangs", timeout: 1 })).status, 504);
  assert.equal((await app.inject("/0/streams")).body.length, 300_001);
});

test("remote calls of an injected call are answered by the test", async () => {
  const app = hera({ log: false });
  app.post("/0/orders", async (req, res) => {
    const user = await req.call<{ name: string }>("POST /0/users", { query: { a: 1 }, body: req.body });
    const bytes = await req.call("GET /0/picture", { stream: true });
    res.status(user.status).json({ name: user.body.name, picture: await text(bytes.body) });
  });
  const seen: StubbedCall[] = [];
  const injected = { url: "/0/orders", body: { id: 7 } };

  const reply = await app.inject({
    ...injected,
    calls: async (call) => {
      seen.push(call);
      if (call.url === "/0/picture") return { body: Readable.from(["p", "q"]) };
      return { status: 201, headers: { "x-a": ["1", "2"] }, body: { name: "ann" } };
    },
  });

  assert.equal(reply.status, 201);
  assert.deepEqual(reply.json(), { name: "ann", picture: "pq" });
  const [first] = seen;
  assert.deepEqual([first?.method, first?.url, first?.body], ["POST", "/0/users?a=1", { id: 7 }]);
  assert.equal(first?.headers["content-type"], "application/json");
  const failed = await app.inject({
    ...injected,
    calls: () => {
      throw new HeraError("no_worker", "nobody", { status: 503, executed: "no" });
    },
  });
  assert.deepEqual([failed.status, (failed.json() as { code: string }).code], [503, "call_failed"]);
  assert.equal((await app.inject(injected)).status, 503);
});

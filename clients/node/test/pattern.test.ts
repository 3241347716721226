import assert from "node:assert/strict";
import { test } from "node:test";
import { hera, Router } from "../src/index.js";
import { endpointPatterns } from "../src/pattern.js";

test("patterns of Express become the endpoints that match the same paths", () => {
  const cases: [string, string[]][] = [
    ["/0/users/:id", ["/0/users/{id}"]],
    ["/0/files/*path", ["/0/files/{*path}"]],
    ["/0/a{/:b}", ["/0/a/{b}", "/0/a"]],
    ["/0/a{/b}{/:c}", ["/0/a/b/{c}", "/0/a/b", "/0/a/{c}", "/0/a"]],
    ["/0/a{/:b{/:c}}", ["/0/a/{b}/{c}", "/0/a/{b}", "/0/a"]],
    ["/0/a/", ["/0/a"]],
    ["{/:id}", ["/{id}"]],
    ['/0/:"my name"', ["/0/{p1}"]],
    ["/0/:ä", ["/0/{p1}"]],
    ["/0/caf\u00e9/~", ["/0/caf%C3%A9/~"]],
    ["/0/a\\:b", ["/0/a:b"]],
    ["/0/report{s}", ["/0/reports", "/0/report"]],
  ];
  for (const [pattern, endpoints] of cases) assert.deepEqual(endpointPatterns(pattern), endpoints, pattern);
});

test("pattern that means too many endpoints is refused", () => {
  const groups = Array.from({ length: 7 }, (_, i) => `{/:p${i}}`).join("");

  assert.throws(() => endpointPatterns(`/0${groups}`), { code: "bad_endpoint" });
});

test("routes of routers are declared under every path where they are mounted", async () => {
  const app = hera({ log: false });
  const inner = Router({ mergeParams: true });
  inner.get("/", (req, res) => void res.json([req.baseUrl, req.params]));
  inner.post("/:b", (req, res) => void res.json([req.baseUrl, req.params]));
  app.use(["/0/x/:a", "/0/y"], Router().use("/in", inner));

  assert.deepEqual((await app.inject("/0/x/1/in")).json(), ["/0/x/1/in", {}]);
  assert.deepEqual((await app.inject({ method: "POST", url: "/0/y/in/2" })).json(), ["/0/y/in", { b: "2" }]);
  assert.equal((await app.inject({ method: "PUT", url: "/0/y/in/2" })).headers.allow, "OPTIONS, POST");
  assert.equal((await app.inject("/0/y")).status, 404);
});

test("route that no broker can match where it is mounted is refused, by pattern", async () => {
  const cases: [string | RegExp, string, string][] = [
    ["/", "/", "/"],
    [/^\/a/, "/x", "regular expression"],
    ["/*rest", "/x", "/*rest/x"],
    ["/-", "/x", "/-/x"],
  ];
  for (const [mount, path, named] of cases) {
    const app = hera({ log: false });
    app.use(
      mount,
      Router().get(path, (_req, res) => void res.end()),
    );

    await assert.rejects(app.inject("/x"), (error: { code: string; message: string }) => {
      assert.equal(error.code, "bad_endpoint");
      assert.ok(error.message.includes(named), error.message);
      return true;
    });
  }
});

test("router cannot be mounted inside itself", () => {
  const outer = Router();
  const inner = Router();
  outer.use("/a", Router().use("/b", inner));

  assert.throws(() => inner.use("/c", outer), { code: "bad_option" });
  assert.throws(() => inner.use(inner), { code: "bad_option" });
});

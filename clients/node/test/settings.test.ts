import assert from "node:assert/strict";
import { test } from "node:test";
import { hera } from "../src/index.js";

/** What a handler sees as `req.query`. */
async function query(parser: unknown, text: string): Promise<unknown> {
  const app = hera({ log: false });
  if (parser !== undefined) app.set("query parser", parser);
  app.get("/0/a", (req, res) => res.json(req.query));
  return (await app.inject(`/0/a${text}`)).json();
}

test("query parser simple: names are flat, and one that stands twice is a list; it is the default", async () => {
  for (const parser of [undefined, "simple", true]) {
    assert.deepEqual(await query(parser, "?a=1&b=2&b=3&c%5Bd%5D=4&e="), { a: "1", b: ["2", "3"], "c[d]": "4", e: "" });
    assert.deepEqual(await query(parser, ""), {});
  }
});

test("query parser extended: names are nested, by the package qs", async () => {
  const cases: [string, unknown][] = [
    ["", {}],
    ["?", {}],
    ["?a=1&a=2", { a: ["1", "2"] }],
    ["?a[b]=1&a[c]=2", { a: { b: "1", c: "2" } }],
    ["?a%5Bb%5D%5Bc%5D=1", { a: { b: { c: "1" } } }],
    ["?a[]=1&a[]=2", { a: ["1", "2"] }],
    ["?a[1]=y&a[0]=x", { a: ["x", "y"] }],
    ["?a.b=1", { "a.b": "1" }],
    ["?toString=1&a[hasOwnProperty]=2", { toString: "1", a: { hasOwnProperty: "2" } }],
  ];
  for (const [text, expected] of cases) assert.deepEqual(await query("extended", text), expected, text);
});

test("query parser extended: nothing in a query reaches a prototype", async () => {
  for (const text of ["?__proto__[polluted]=1", "?a[__proto__][polluted]=1", "?constructor[prototype][polluted]=1"]) {
    await query("extended", text);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined, text);
  }
  const app = hera({ log: false });
  app.set("query parser", "extended");
  app.get("/0/a", (req, res) => res.json([Object.getPrototypeOf(req.query), "toString" in req.query]));
  assert.deepEqual((await app.inject("/0/a?b=1")).json(), [null, false]);
});

test("query parser: false gives nothing, a function decides itself", async () => {
  assert.deepEqual(await query(false, "?a=1"), {});
  assert.deepEqual(await query((text: string) => ({ text }), "?a=1&b"), { text: "a=1&b" });
});

test("query parser: an unknown one is refused when it is set", () => {
  const app = hera({ log: false });
  for (const parser of ["nested", 1, null, {}]) {
    assert.throws(() => app.set("query parser", parser), { name: "HeraError", code: "bad_option" });
  }
});

test("urlencoded extended: forms are nested, and lists and depths are those of Express", async () => {
  const app = hera({ log: false });
  app.post("/0/a", hera.urlencoded({ extended: true }), (req, res) => res.json(req.body));
  const post = (body: string) =>
    app.inject({
      url: "/0/a",
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body,
    });
  assert.deepEqual((await post("a[b]=1&c[]=2&c[]=3")).json(), { a: { b: "1" }, c: ["2", "3"] });
  const many = Array.from({ length: 500 }, (_, i) => String(i));
  assert.deepEqual((await post(many.map((each) => `a[]=${each}`).join("&"))).json(), { a: many });
  assert.equal((await post(`a${"[b]".repeat(32)}=1`)).status, 200);
  const deep = await post(`a${"[b]".repeat(34)}=1`);
  assert.deepEqual([deep.status, (deep.json() as { code: string }).code], [400, "bad_body"]);
  const wide = await post("a&".repeat(1000));
  assert.deepEqual([wide.status, (wide.json() as { code: string }).code], [413, "body_too_large"]);
});

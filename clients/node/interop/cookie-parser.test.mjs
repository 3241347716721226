import assert from "node:assert/strict";
import { test } from "node:test";
import cookieParser from "cookie-parser";
import { sign } from "cookie-signature";
import { both } from "./both.mjs";

const shown = (req, res) => res.json({ cookies: req.cookies, signed: req.signedCookies, secret: req.secret ?? null });
const cookie = (text) => ({ path: "/shown", headers: { cookie: text } });

test("cookie-parser: plain cookies, as they come", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cookieParser());
    app.get("/shown", shown);
  });
  assert.deepEqual((await same(cookie("a=1; b=two%20words; a=2"))).json().cookies, { a: "1", b: "two words" });
  assert.deepEqual((await same("/shown")).json(), { cookies: {}, signed: {}, secret: null });
  for (const text of ["", "=x", "a", "a=%E0%A4", 'q="quoted"', "__proto__=x", "a=b=c", " a = 1 "])
    await same(cookie(text));
});

test("cookie-parser: JSON cookies become values, and broken ones stay text", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cookieParser());
    app.get("/shown", shown);
  });
  const value = encodeURIComponent('j:{"cart":[1,2]}');
  assert.deepEqual((await same(cookie(`cart=${value}`))).json().cookies, { cart: { cart: [1, 2] } });
  assert.deepEqual((await same(cookie("cart=j:{broken"))).json().cookies, { cart: "j:{broken" });
});

test("cookie-parser: signed cookies are told apart, and those that were tampered with are false", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cookieParser(["new secret", "old secret"]));
    app.get("/shown", shown);
  });
  const signed = (value, secret) => encodeURIComponent(`s:${sign(value, secret)}`);
  const {
    cookies,
    signed: read,
    secret,
  } = (
    await same(
      cookie(
        [
          "plain=1",
          `a=${signed("right", "new secret")}`,
          `b=${signed("older", "old secret")}`,
          `c=${signed('j:{"n":1}', "new secret")}`,
          `d=${signed("wrong", "stranger's secret")}`,
          `e=${signed("right", "new secret").replace("right", "wrong")}`,
        ].join("; "),
      ),
    )
  ).json();
  assert.deepEqual(cookies, { plain: "1" });
  assert.deepEqual(read, { a: "right", b: "older", c: { n: 1 }, d: false, e: false });
  assert.equal(secret, "new secret");
});

test("cookie-parser: what res.cookie signs comes back, and clearCookie makes it go", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cookieParser("secret"));
    app.get("/set", (_req, res) => {
      res.cookie("user", { id: 7 }, { signed: true, httpOnly: true, sameSite: "strict" });
      res.cookie("theme", "dark", { path: "/shown" });
      res.send("set");
    });
    app.get("/clear", (_req, res) => res.clearCookie("user").sendStatus(200));
    app.get("/shown", shown);
  });
  const set = await same("/set");
  assert.equal(set.headers["set-cookie"].length, 2);
  assert.match(set.headers["set-cookie"][0], /^user=s%3A.*; Path=\/; HttpOnly; SameSite=Strict$/);
  const { signed, cookies } = (await same(cookie(set.cookies))).json();
  assert.deepEqual([signed, cookies], [{ user: { id: 7 } }, { theme: "dark" }]);
  assert.match((await same("/clear")).headers["set-cookie"][0], /^user=; .*Expires=Thu, 01 Jan 1970/);
});

test("cookie-parser: signing without a secret is an error for the error handlers", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(cookieParser());
    app.get("/set", (_req, res) => res.cookie("a", "1", { signed: true }).send("set"));
    app.use((error, _req, res, _next) => res.status(500).json({ error: error.message }));
  });
  assert.match((await same("/set")).json().error, /required for signed cookies/);
});

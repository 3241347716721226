import assert from "node:assert/strict";
import { test } from "node:test";
import session from "express-session";
import passport from "passport";
import { Strategy as BearerStrategy } from "passport-http-bearer";
import { both, call } from "./both.mjs";

/** Those that `app.get` and `post` want, by a passport of each app's own. */
function bearer() {
  const own = new passport.Passport();
  own.use(
    new BearerStrategy({ realm: "shop", scope: ["read"] }, (token, done) => {
      if (token === "broken") return done(new Error("the database is gone"));
      if (token === "abc") return done(null, { name: "ann" }, { scope: ["read"] });
      done(null, false, { message: "no such token" });
    }),
  );
  return own;
}

const authorization = (value) => ({ path: "/me", headers: { authorization: value } });

function guarded(app) {
  const own = bearer();
  app.use(own.initialize());
  app.get("/me", own.authenticate("bearer", { session: false }), (req, res) => {
    res.json({ user: req.user, info: req.authInfo, in: req.isAuthenticated(), out: req.isUnauthenticated() });
  });
  app.use((error, _req, res, _next) => res.status(500).json({ error: error.message }));
}

test("passport bearer: who brings a right token is the user", async (t) => {
  const { same } = await both(t, guarded);
  const { status, json } = await same(authorization("Bearer abc"));
  assert.deepEqual([status, json()], [200, { user: { name: "ann" }, info: { scope: ["read"] }, in: true, out: false }]);
  assert.equal((await same("/me?access_token=abc")).status, 200);
});

test("passport bearer: without a right token it is 401 with the challenge that tells why", async (t) => {
  const { same } = await both(t, guarded);
  const cases = [
    ["/me", 401, 'Bearer realm="shop", scope="read"'],
    [
      authorization("Bearer wrong"),
      401,
      'Bearer realm="shop", scope="read", error="invalid_token", error_description="no such token"',
    ],
    [authorization("Basic YTpi"), 401, 'Bearer realm="shop", scope="read"'],
    [authorization("Bearer"), 400, undefined],
    [{ ...authorization("Bearer abc"), path: "/me?access_token=abc" }, 400, undefined],
  ];
  for (const [sent, status, challenge] of cases) {
    const { status: got, headers } = await same(sent);
    assert.deepEqual([got, headers["www-authenticate"]], [status, challenge]);
  }
});

test("passport bearer: a strategy that fails is an error for the error handlers", async (t) => {
  const { same } = await both(t, guarded);
  const { status, json } = await same(authorization("Bearer broken"));
  assert.deepEqual([status, json()], [500, { error: "the database is gone" }]);
});

test("passport bearer: a token in a form, and a callback of the app's own that judges scopes", async (t) => {
  const { same } = await both(t, (app, { urlencoded }) => {
    const own = bearer();
    app.use(urlencoded());
    app.post("/orders", (req, res, next) => {
      own.authenticate("bearer", { session: false }, (error, user, info) => {
        if (error) return next(error);
        if (!user) return res.status(401).json({ refused: info ?? null });
        if (!info.scope.includes("write")) return res.status(403).json({ missing: "write" });
        res.json(user);
      })(req, res, next);
    });
  });
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const post = (body) => same({ method: "POST", path: "/orders", headers, body });
  assert.deepEqual((await post("access_token=abc")).json(), { missing: "write" });
  assert.equal((await post("access_token=wrong")).status, 401);
});

test("passport: login and logout by a strategy of the app's own, kept in a session", async (t) => {
  class ByName extends passport.Strategy {
    name = "by-name";

    authenticate(req) {
      if (req.params.name === "nobody") return this.fail({ message: "unknown" }, 401);
      this.success({ name: req.params.name });
    }
  }
  const { targets } = await both(t, (app) => {
    const own = new passport.Passport();
    own.use(new ByName());
    own.serializeUser((user, done) => done(null, user.name));
    own.deserializeUser((name, done) => done(null, { name }));
    app.use(session({ secret: "secret", resave: false, saveUninitialized: false }), own.session());
    app.post("/login/:name", own.authenticate("by-name", { successRedirect: "/me", failureRedirect: "/me?failed" }));
    app.post("/logout", (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect("/me"))));
    app.get("/me", (req, res) => res.json({ user: req.user ?? null, in: req.isAuthenticated() }));
  });
  const story = async (target) => {
    const seen = [];
    let cookie = "";
    for (const [method, path] of [
      ["GET", "/me"],
      ["POST", "/login/nobody"],
      ["POST", "/login/ann"],
      ["GET", "/me"],
      ["POST", "/logout"],
      ["GET", "/me"],
    ]) {
      const { status, headers, text, cookies } = await call(target, { method, path, headers: { cookie } });
      cookie = cookies || cookie;
      seen.push([status, headers.location, text]);
    }
    return seen;
  };
  const onHera = await story(targets.hera);
  assert.deepEqual(onHera, await story(targets.express));
  assert.equal(onHera[3][2], '{"user":{"name":"ann"},"in":true}');
  assert.equal(onHera[5][2], '{"user":null,"in":false}');
});

test("passport bearer: with Hera-Token for the broker, Authorization is the app's own", async (t) => {
  const { broker, targets } = await both(t, guarded, { rights: ["GET /elsewhere"] });
  const token = await broker.token("GET /me");
  const get = (headers) => call(targets.hera, { path: "/me", headers });
  assert.equal((await get({ authorization: "Bearer abc" })).headers["hera-worker"], undefined);
  assert.equal((await get({ "hera-token": token, authorization: "Bearer abc" })).status, 200);
  const refused = await get({ "hera-token": token, authorization: "Bearer wrong" });
  assert.deepEqual([refused.status, refused.text], [401, "Unauthorized"]);
  assert.match(refused.headers["www-authenticate"], /^Bearer realm="shop"/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import session from "express-session";
import { assertSame, both, call } from "./both.mjs";

const OPTIONS = { secret: "secret", resave: false, saveUninitialized: false };

/** A caller that keeps its cookies, one for each of the two apps; every answer has to be the same but for the session's id. */
function browser({ targets }) {
  const jars = { express: new Map(), hera: new Map() };
  return {
    jars,
    async go(options) {
      const { headers, ...rest } = typeof options === "string" ? { path: options } : options;
      const answers = {};
      for (const name of ["express", "hera"]) {
        const cookie = [...jars[name]].map((pair) => pair.join("=")).join("; ");
        const answer = await call(targets[name], { ...rest, headers: cookie ? { cookie, ...headers } : headers });
        for (const each of answer.headers["set-cookie"] ?? []) {
          const [, key, value] = /^([^=]+)=([^;]*)/.exec(each);
          jars[name].set(key, value);
        }
        answer.headers["set-cookie"] = answer.headers["set-cookie"]?.map(withoutId);
        answers[name] = answer;
      }
      assertSame(answers);
      return answers.hera;
    },
  };
}

function withoutId(cookie) {
  return cookie.replace(/=s%3A[^;]+/, "=ID").replace(/Expires=[^;]+/, "Expires=THEN");
}

function shop(options) {
  return (app) => {
    app.use(session({ ...OPTIONS, ...options }));
    app.get("/look", (req, res) => res.json({ user: req.session.user ?? null }));
    app.post("/login/:user", (req, res, next) => {
      req.session.regenerate((error) => {
        if (error) return next(error);
        req.session.user = req.params.user;
        req.session.save((failed) => (failed ? next(failed) : res.json({ hello: req.params.user })));
      });
    });
    app.get("/count", (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1;
      res.json({ user: req.session.user, count: req.session.count });
    });
    app.post("/logout", (req, res, next) => {
      req.session.destroy((error) => (error ? next(error) : res.clearCookie("connect.sid").json({ bye: true })));
    });
  };
}

test("express-session: login, a counter, logout", async (t) => {
  const { go, jars } = browser(await both(t, shop()));
  const first = await go("/look");
  assert.equal(first.headers["set-cookie"], undefined);
  const login = await go({ method: "POST", path: "/login/ann" });
  assert.deepEqual(login.headers["set-cookie"], ["connect.sid=ID; Path=/; HttpOnly"]);
  for (const count of [1, 2, 3]) assert.deepEqual((await go("/count")).json(), { user: "ann", count });
  const old = new Map(jars.hera);
  assert.deepEqual((await go({ method: "POST", path: "/logout" })).json(), { bye: true });
  assert.deepEqual((await go("/look")).json(), { user: null });
  jars.hera.set("connect.sid", old.get("connect.sid"));
  assert.deepEqual((await go("/look")).json(), { user: null });
});

test("express-session: two callers have sessions of their own", async (t) => {
  const made = await both(t, shop());
  const [ann, bob] = [browser(made), browser(made)];
  await ann.go({ method: "POST", path: "/login/ann" });
  await bob.go({ method: "POST", path: "/login/bob" });
  await ann.go("/count");
  assert.deepEqual((await bob.go("/count")).json(), { user: "bob", count: 1 });
  assert.deepEqual((await ann.go("/count")).json(), { user: "ann", count: 2 });
});

test("express-session: regenerate gives another id, and the old one is worth nothing", async (t) => {
  const { go, jars } = browser(await both(t, shop()));
  await go("/count");
  const before = { express: jars.express.get("connect.sid"), hera: jars.hera.get("connect.sid") };
  await go({ method: "POST", path: "/login/ann" });
  assert.notEqual(jars.hera.get("connect.sid"), before.hera);
  for (const name of ["express", "hera"]) jars[name].set("connect.sid", before[name]);
  assert.deepEqual((await go("/look")).json(), { user: null });
});

test("express-session: a forged id is not taken over", async (t) => {
  const { go, jars } = browser(await both(t, shop()));
  for (const name of ["express", "hera"]) jars[name].set("connect.sid", "s%3Aforged.signature");
  assert.deepEqual((await go("/count")).json(), { count: 1 });
  assert.notEqual(jars.hera.get("connect.sid"), "s%3Aforged.signature");
});

test("express-session: saveUninitialized sets a cookie for a session with nothing in it", async (t) => {
  const { go } = browser(await both(t, shop({ saveUninitialized: true, name: "sid" })));
  assert.deepEqual((await go("/look")).headers["set-cookie"], ["sid=ID; Path=/; HttpOnly"]);
  assert.equal((await go("/look")).headers["set-cookie"], undefined);
});

test("express-session: rolling sets the cookie with each answer, with the attributes that were asked for", async (t) => {
  const cookie = { maxAge: 60_000, sameSite: "lax", path: "/", httpOnly: false, domain: "shop.example" };
  const { go } = browser(await both(t, shop({ rolling: true, cookie })));
  const expected = ["connect.sid=ID; Domain=shop.example; Path=/; Expires=THEN; SameSite=Lax"];
  assert.deepEqual((await go("/count")).headers["set-cookie"], expected);
  assert.deepEqual((await go("/look")).headers["set-cookie"], expected);
});

test("express-session: a secure cookie is set only where the caller came by TLS", async (t) => {
  const { go } = browser(await both(t, shop({ cookie: { secure: true } })));
  assert.equal((await go("/count")).headers["set-cookie"], undefined);
  const proxied = browser(await both(t, shop({ cookie: { secure: "auto" } })));
  assert.deepEqual((await proxied.go("/count")).headers["set-cookie"], ["connect.sid=ID; Path=/; HttpOnly"]);
});

test("express-session: what the handler wrote is there even where the answer is streamed", async (t) => {
  const { go } = browser(
    await both(t, (app) => {
      app.use(session(OPTIONS));
      app.get("/pieces", (req, res) => {
        req.session.seen = true;
        res.type("text").write("first ");
        res.write("second ");
        res.end("last");
      });
      app.get("/seen", (req, res) => res.json(req.session.seen ?? false));
    }),
  );
  const { text, headers } = await go("/pieces");
  assert.deepEqual([text, headers["set-cookie"].length], ["first second last", 1]);
  assert.equal((await go("/seen")).json(), true);
});

test("express-session: a store that fails is an error for the error handlers", async (t) => {
  class Broken extends session.MemoryStore {
    get(_id, done) {
      done(new Error("the store is gone"));
    }
  }
  const { go } = browser(
    await both(t, (app) => {
      app.use(session({ ...OPTIONS, store: new Broken(), saveUninitialized: true }));
      app.get("/look", (_req, res) => res.json({}));
      app.use((error, _req, res, _next) => res.status(503).json({ error: error.message }));
    }),
  );
  assert.equal((await go("/look")).status, 200);
  const { status, json } = await go("/look");
  assert.deepEqual([status, json()], [503, { error: "the store is gone" }]);
});

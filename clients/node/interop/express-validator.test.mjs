import assert from "node:assert/strict";
import { test } from "node:test";
import {
  body,
  checkExact,
  checkSchema,
  cookie,
  ExpressValidator,
  header,
  matchedData,
  oneOf,
  param,
  query,
  validationResult,
} from "express-validator";
import { both } from "./both.mjs";

const verdict = (req, res) => {
  const errors = validationResult(req);
  if (!errors.isEmpty()) return res.status(422).json({ errors: errors.array(), mapped: errors.mapped() });
  res.json({ data: matchedData(req), body: req.body ?? null, params: req.params });
};

/** Express parses bodies only where it is told to. */
const parsed = (app, { json, urlencoded }) => app.use(json(), urlencoded());

test("express-validator: the query is checked, and what sanitizers make of it is the data", async (t) => {
  const { same } = await both(t, (app) => {
    app.get(
      "/list",
      query("page").default(1).isInt({ min: 1 }).toInt(),
      query("name").optional().trim().notEmpty().escape(),
      query("tags").optional().toArray(),
      verdict,
    );
  });
  const { data } = (await same("/list?page=3&name=%20%3Cb%3E%20&tags=x")).json();
  assert.deepEqual(data, { page: 3, name: "&lt;b&gt;", tags: ["x"] });
  assert.deepEqual((await same("/list")).json().data, { page: 1 });
  assert.equal((await same("/list?page=0")).status, 422);
  const { status, json } = await same("/list?page=x&name=%20");
  assert.deepEqual(
    [status, json().errors.map(({ path, location }) => [path, location])],
    [
      422,
      [
        ["page", "query"],
        ["name", "query"],
      ],
    ],
  );
});

test("express-validator: on Hera the query itself is what sanitizers made of it, where Express parses it anew", async (t) => {
  const { each } = await both(t, (app) => {
    app.get("/list", query("page").toInt(), (req, res) => res.json(req.query));
  });
  const { hera, express } = await each("/list?page=3");
  assert.deepEqual([hera.json(), express.json()], [{ page: 3 }, { page: "3" }]);
});

test("express-validator: the query is checked under the setting query parser extended", async (t) => {
  const { same } = await both(t, (app) => {
    app.set("query parser", "extended");
    app.get("/list", query("filter.age").isInt().toInt(), query("ids.*").isInt().toInt(), verdict);
  });
  const path = "/list?filter%5Bage%5D=7&ids%5B%5D=1&ids%5B%5D=2";
  assert.deepEqual((await same(path)).json().data, { filter: { age: 7 }, ids: [1, 2] });
  assert.equal((await same("/list?filter%5Bage%5D=x")).status, 422);
});

test("express-validator: bodies, nested and in lists, JSON and forms", async (t) => {
  const { same } = await both(t, (app, framework) => {
    parsed(app, framework);
    app.post(
      "/users",
      body("email").isEmail().normalizeEmail(),
      body("age").optional().isInt().toInt(),
      body("address.city").optional().isString().trim().toUpperCase(),
      body("phones.*").optional().isMobilePhone("any"),
      body("born").optional().isISO8601().toDate(),
      verdict,
    );
  });
  const post = (given) => ({ method: "POST", path: "/users", body: given });
  const good = {
    email: "Ann@Example.com",
    age: "7",
    address: { city: " bonn " },
    phones: ["+4915112345678"],
    born: "2001-02-03",
  };
  const { data, body: kept } = (await same(post({ ...good, more: 1 }))).json();
  assert.deepEqual(data, {
    email: "ann@example.com",
    age: 7,
    address: { city: "BONN" },
    phones: ["+4915112345678"],
    born: "2001-02-03T00:00:00.000Z",
  });
  assert.equal(kept.more, 1);
  assert.deepEqual(
    (await same(post({ email: "x", phones: ["y", "+4915112345678"] }))).json().errors.map(({ path }) => path),
    ["email", "phones[0]"],
  );
  await same({ method: "POST", path: "/users" });
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const sent = await same({ method: "POST", path: "/users", headers, body: "email=ann%40example.com&age=8" });
  assert.deepEqual(sent.json().data, { email: "ann@example.com", age: 8 });
});

test("express-validator: path parameters, headers and cookies", async (t) => {
  const { same } = await both(t, (app) => {
    app.use((req, _res, next) => {
      req.cookies = { theme: "dark" };
      next();
    });
    app.get(
      "/users/:id",
      param("id").isInt().withMessage("id is no number").toInt(),
      header("x-version").default("1").isIn(["1", "2"]),
      cookie("theme").isIn(["dark", "light"]),
      (req, res) => res.json({ errors: validationResult(req).array(), data: matchedData(req), id: req.params.id }),
    );
  });
  assert.deepEqual((await same("/users/7")).json(), {
    errors: [],
    data: { id: 7, "x-version": "1", theme: "dark" },
    id: 7,
  });
  const { errors } = (await same({ path: "/users/x", headers: { "x-version": "3" } })).json();
  assert.deepEqual(
    errors.map(({ msg }) => msg),
    ["id is no number", "Invalid value"],
  );
});

test("express-validator: validators that wait, run by hand, and ways out of a chain", async (t) => {
  const taken = async (value) => {
    await Promise.resolve();
    if (value === "ann") throw new Error("taken");
  };
  const { same } = await both(t, (app, framework) => {
    parsed(app, framework);
    app.post("/users", body("name").notEmpty().bail().custom(taken), verdict);
    app.post("/by-hand", async (req, res) => {
      const result = await body("name").custom(taken).run(req);
      res.json({ fine: result.isEmpty() });
    });
    app.post("/throws", body("name").notEmpty(), (req, res) => {
      validationResult(req).throw();
      res.json({});
    });
    app.use((error, _req, res, _next) => res.status(400).json(error.mapped()));
  });
  assert.equal((await same({ method: "POST", path: "/users", body: { name: "bob" } })).status, 200);
  assert.match((await same({ method: "POST", path: "/users", body: { name: "ann" } })).text, /taken/);
  assert.deepEqual((await same({ method: "POST", path: "/by-hand", body: { name: "ann" } })).json(), { fine: false });
  assert.equal((await same({ method: "POST", path: "/throws", body: {} })).status, 400);
});

test("express-validator: schemas, one of several, exactly these fields, and validators of the app's own", async (t) => {
  const own = new ExpressValidator(
    { isEven: (value) => Number(value) % 2 === 0 },
    { half: (value) => Number(value) / 2 },
  );
  const { same } = await both(t, (app, framework) => {
    parsed(app, framework);
    app.post(
      "/schema",
      checkSchema({
        id: { in: ["query"], isInt: true, toInt: true },
        name: { in: ["body"], isLength: { options: { min: 3 } } },
      }),
      verdict,
    );
    app.post("/one-of", oneOf([body("email").isEmail(), body("phone").isMobilePhone("any")]), verdict);
    app.post("/exact", checkExact([body("a").isInt()]), verdict);
    app.get("/even", own.query("n").isEven().half(), verdict);
  });
  assert.deepEqual((await same({ method: "POST", path: "/schema?id=4", body: { name: "ann" } })).json().data, {
    id: 4,
    name: "ann",
  });
  assert.equal((await same({ method: "POST", path: "/schema?id=x", body: { name: "a" } })).status, 422);
  assert.equal((await same({ method: "POST", path: "/one-of", body: { phone: "+4915112345678" } })).status, 200);
  assert.equal((await same({ method: "POST", path: "/one-of", body: {} })).status, 422);
  assert.equal((await same({ method: "POST", path: "/exact", body: { a: 1 } })).status, 200);
  assert.equal((await same({ method: "POST", path: "/exact?b=1", body: { a: 1, c: 2 } })).status, 422);
  assert.deepEqual((await same("/even?n=8")).json().data, { n: 4 });
  assert.equal((await same("/even?n=7")).status, 422);
});

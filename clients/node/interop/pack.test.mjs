import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compile, folder, install, node, pack, writeFiles } from "./packed.mjs";

const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));
const MIDDLEWARE = [
  "compression",
  "cookie-parser",
  "cors",
  "express",
  "express-rate-limit",
  "express-session",
  "express-validator",
  "helmet",
  "morgan",
  "multer",
  "passport",
  "passport-http-bearer",
  "pino-http",
];
const TYPED_BY_THEMSELVES = ["express-rate-limit", "express-validator", "helmet", "pino-http"];
const TYPES = MIDDLEWARE.filter((name) => !TYPED_BY_THEMSELVES.includes(name));
const links = (...names) => Object.fromEntries(names.map((name) => [name, MODULES]));

const endings = [];
const whole = { after: (end) => endings.push(end) };
let files;
let esm;
let commonjs;

before(async () => {
  const packed = await pack(await folder(whole));
  const { tarball } = packed;
  ({ files } = packed);
  esm = await folder(whole);
  const types = ["node", ...TYPES].map((name) => `@types/${name}`);
  await install(esm, tarball, { type: "module" }, links("qs", ...types, ...MIDDLEWARE));
  commonjs = await folder(whole);
  await install(commonjs, tarball, { type: "commonjs" }, links("@types/node"));
});

after(() => Promise.all(endings.map((end) => end())));

test("the package holds what runs, its types and its words, and nothing else", async () => {
  const others = files.filter((path) => !/^dist\/(zookeeper\/)?[a-z-]+\.(js|d\.ts)$/.test(path));
  assert.deepEqual(others, ["README.md", "package.json"]);
  for (const path of ["dist/index.js", "dist/index.d.ts"]) assert.ok(files.includes(path), path);
  for (const path of files.filter((each) => each.endsWith(".js"))) {
    assert.ok(files.includes(path.replace(/\.js$/, ".d.ts")), `types of ${path}`);
    const text = await readFile(join(esm, "node_modules/hera-client", path), "utf8");
    assert.ok(!text.includes("sourceMappingURL"), path);
  }
});

test("the types hold no any, and nothing that is internal", async () => {
  for (const path of files.filter((each) => each.endsWith(".d.ts"))) {
    const text = await readFile(join(esm, "node_modules/hera-client", path), "utf8");
    assert.doesNotMatch(text, /@internal/, path);
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(code, /\bany\b/, path);
  }
});

test("only what it names is installed with it, and qs is not", async () => {
  const lock = JSON.parse(await readFile(join(esm, "package-lock.json"), "utf8"));
  const installed = Object.keys(lock.packages);
  assert.ok(installed.includes("node_modules/hera-client"));
  for (const name of ["express", "qs", "typescript"]) assert.ok(!installed.includes(`node_modules/${name}`), name);
});

const SERVED = `
  app.get("/hello/:name", (req, res) => res.json({ hello: req.params.name }));
  app.inject("/hello/ann").then((reply) => console.log(reply.status, reply.text));
`;

test("an ECMAScript module imports it, by default and by name", async () => {
  await writeFiles(esm, {
    "main.js": `
      import hera, { HeraError, Router, hera as byName, json } from "hera-client";
      import manifest from "hera-client/package.json" with { type: "json" };
      console.log(hera === byName, typeof Router, typeof json, new HeraError("closed", "") instanceof Error, manifest.name);
      const app = hera();${SERVED}`,
  });
  assert.equal(
    await node(esm, "--no-warnings", "main.js"),
    'true function function true hera-client\n200 {"hello":"ann"}\n',
  );
});

test("a CommonJS module requires it, and gets the function itself, with every other name on it", async () => {
  await writeFiles(commonjs, {
    "main.js": `
      const hera = require("hera-client");
      const { hera: byName, HeraError, Router, json, raw, text, urlencoded } = require("hera-client");
      console.log(hera === byName, new HeraError("closed", "").code);
      console.log(...[hera, Router, json, raw, text, urlencoded].map((each) => typeof each));
      const app = hera();${SERVED}`,
  });
  assert.equal(
    await node(commonjs, "main.js"),
    'true closed\nfunction function function function function function\n200 {"hello":"ann"}\n',
  );
});

test("qs is asked for where it is wanted, and taken from the app where it is there", async () => {
  const program = `
    const hera = require("hera-client");
    const app = hera();
    try {
      app.set("query parser", "extended");
      app.get("/list", (req, res) => res.json(req.query));
      app.inject("/list?a[b]=1").then((reply) => console.log(reply.text));
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  await writeFiles(commonjs, { "query.js": program });
  await writeFiles(esm, { "query.cjs": program });
  assert.match(await node(commonjs, "query.js"), /^bad_option .*npm install qs\n$/);
  assert.equal(await node(esm, "query.cjs"), '{"a":{"b":"1"}}\n');
});

test("nothing behind its front door can be reached", async () => {
  await writeFiles(esm, { "deep.js": 'await import("hera-client/dist/app.js");' });
  await assert.rejects(node(esm, "deep.js"), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

const STRICT = {
  strict: true,
  skipLibCheck: false,
  target: "es2023",
  lib: ["es2023"],
  types: ["node"],
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
};
const tsconfig = (compilerOptions, include) =>
  JSON.stringify({ compilerOptions: { ...STRICT, ...compilerOptions }, include });

const TYPED = `
  const app = hera({ log: false });
  app.get("/hello/:name", async (req, res) => {
    const name: string = req.params.name;
    res.json({ hello: name });
  });
  app.use((error: Error, _req: Request, res: Response, next: Next) => (error ? res.sendStatus(500) : next()));
  app.inject("/hello/ann").then((reply) => console.log(reply.status, reply.text));
`;

test("a strict TypeScript program compiles and runs as NodeNext", async () => {
  await writeFiles(esm, {
    "nodenext/tsconfig.json": tsconfig({ module: "nodenext", outDir: "out", rootDir: "." }, ["*.ts"]),
    "nodenext/main.ts": `
      import hera, { type Next, type Request, type Response } from "hera-client";${TYPED}`,
  });
  await compile(join(esm, "nodenext"));
  assert.equal(await node(esm, "nodenext/out/main.js"), '200 {"hello":"ann"}\n');
});

test("a strict TypeScript program compiles for a bundler", async () => {
  await writeFiles(esm, {
    "bundler/tsconfig.json": tsconfig({ module: "preserve", moduleResolution: "bundler", noEmit: true }, ["*.ts"]),
    "bundler/main.ts": `
      import { hera, type Next, type Request, type Response } from "hera-client";${TYPED}`,
  });
  await compile(join(esm, "bundler"));
});

test("a strict TypeScript program of CommonJS compiles and runs, by require and by import", async () => {
  await writeFiles(commonjs, {
    "tsconfig.json": tsconfig({ module: "nodenext", outDir: "out", rootDir: "." }, ["*.ts"]),
    "required.ts": `
      import hera = require("hera-client");
      const app = hera({ log: false });
      app.get("/hello/:name", (req, res) => res.json({ hello: req.params.name }));
      app.inject("/hello/ann").then((reply) => console.log(reply.status, reply.text));`,
    "imported.ts": `
      import { hera, type Next, type Request, type Response } from "hera-client";${TYPED}`,
  });
  await compile(commonjs);
  for (const name of ["required", "imported"]) {
    assert.equal(await node(commonjs, `out/${name}.js`), '200 {"hello":"ann"}\n');
  }
});

test("middleware type-checks by its own types, and handlers behind it still know theirs", async () => {
  await writeFiles(esm, {
    // Types that others bring along have mistakes of their own.
    "middleware/tsconfig.json": tsconfig({ module: "nodenext", noEmit: true, skipLibCheck: true }, ["*.ts"]),
    "middleware/main.ts": `
      import compression from "compression";
      import cookieParser from "cookie-parser";
      import cors from "cors";
      import express from "express";
      import { rateLimit } from "express-rate-limit";
      import session from "express-session";
      import { body, matchedData, validationResult } from "express-validator";
      import helmet from "helmet";
      import hera, { Router } from "hera-client";
      import morgan from "morgan";
      import multer from "multer";
      import passport from "passport";
      import { Strategy } from "passport-http-bearer";
      import { pinoHttp } from "pino-http";

      declare module "express-session" {
        interface SessionData { count: number }
      }

      const app = hera();
      app.use(helmet(), cors({ origin: true }), compression(), cookieParser("secret"));
      app.use(helmet());
      app.use(cors());
      app.use(compression({ threshold: 0 }));
      app.use(cookieParser());
      app.use(morgan("combined"));
      app.use(morgan((tokens, req, res) => [tokens.method?.(req, res), res.statusCode].join(" ")));
      app.use(pinoHttp(), rateLimit({ windowMs: 1000, limit: 1, keyGenerator: (req) => req.ip ?? "" }));
      app.use(express.json(), express.static("/srv"), express.Router().get("/a", (_req, res) => res.send("x")));
      app.use(session({ secret: "secret", resave: false, saveUninitialized: false }));
      app.use(passport.initialize(), passport.session());
      passport.use(new Strategy((token, done) => done(null, { name: token }, { scope: "read", message: "" })));
      const upload = multer({ storage: multer.memoryStorage() });
      app.post("/files/:id", upload.single("file"), (req, res) => {
        const id: string = req.params.id;
        const bytes: Buffer | undefined = req.file?.buffer;
        res.json({ id, size: bytes?.length ?? 0 });
      });
      app.options("/files/:id", cors());
      app.get("/me", passport.authenticate("bearer", { session: false }), (req, res) => {
        const user: Express.User | undefined = req.user;
        req.session.count = (req.session.count ?? 0) + 1;
        res.json({ user, cookies: req.cookies, signed: req.signedCookies, in: req.isAuthenticated() });
      });
      app.post("/users", body("email").isEmail(), [body("age").isInt().toInt()], (req, res) => {
        if (!validationResult(req).isEmpty()) return res.sendStatus(422);
        return res.json(matchedData(req));
      });
      app.get("/events", (_req, res) => {
        res.write("data: 1\\n\\n");
        res.flush();
      });
      const router = Router();
      router.use(cors(), helmet.noSniff()).get("/:id", cors(), async (req, res) => res.json(req.params.id));
      app.use("/things", cors(), router);
      app.route("/both").all(cors()).get(upload.none(), (req, res) => res.json(req.body ?? null));
    `,
  });
  await compile(join(esm, "middleware"));
});

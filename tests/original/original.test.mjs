/** Each worker is a process of its own, which has the packed package installed and knows the broker by its environment alone. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import coffeescript from "coffeescript";
import sqlite from "node-sqlite3-wasm";
import { call, startBroker } from "../../clients/node/interop/broker.mjs";
import { compile, folder, install, PACKAGE, pack, writeFiles } from "../../clients/node/interop/packed.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROWS = [
  [1, "calls", 42],
  [2, "errors", 0.5],
];

const endings = [];
let root;

before(async () => {
  const whole = { after: (end) => endings.push(end) };
  const { tarball } = await pack(await folder(whole));
  root = await folder(whole);
  const links = { "node-sqlite3-wasm": join(HERE, "node_modules"), "@types/node": join(PACKAGE, "node_modules") };
  await install(root, tarball, { type: "commonjs" }, links);

  const source = await readFile(join(HERE, "worker.coffee"), "utf8");
  await writeFiles(root, {
    "coffee/worker.js": coffeescript.compile(source, { filename: "worker.coffee", bare: true }),
  });
  await mkdir(join(root, "javascript"));
  await cp(join(HERE, "worker.js"), join(root, "javascript/worker.js"));
  await writeFiles(root, {
    "typescript/package.json": JSON.stringify({ type: "module" }),
    "typescript/lib/package.json": JSON.stringify({ type: "commonjs" }),
    "typescript/tsconfig.json": JSON.stringify({
      compilerOptions: { strict: true, skipLibCheck: false, module: "nodenext", target: "es2023", types: ["node"] },
      files: ["worker.ts"],
    }),
  });
  await cp(join(HERE, "worker.ts"), join(root, "typescript/worker.ts"));
  for (const name of ["coffee", "javascript", "typescript"]) {
    await cp(join(HERE, "lib"), join(root, name, "lib"), { recursive: true });
  }
  await compile(join(root, "typescript"));

  const database = new sqlite.Database(join(root, "metrics.db"));
  database.exec("CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL, value REAL NOT NULL)");
  for (const row of ROWS) database.run("INSERT INTO metrics VALUES (?, ?, ?)", row);
  database.close();
});

after(() => Promise.all(endings.map((end) => end())));

/** A broker, a worker that is connected to it, and a caller with a token. */
async function started(t, language) {
  const broker = await startBroker(t);
  const [key, token] = await Promise.all([broker.key(), broker.token("GET /0/**")]);
  const { PATH } = process.env;
  const env = { PATH, HERA: broker.brokers, SECRET: key, DATABASE: join(root, "metrics.db") };
  const worker = spawn(process.execPath, ["worker.js"], { cwd: join(root, language), env });
  const exited = once(worker, "exit");
  t.after(async () => {
    worker.kill("SIGKILL");
    await exited;
  });
  const seen = { out: "", err: "" };
  worker.stderr.on("data", (text) => {
    seen.err += text;
  });
  const connected = new Promise((resolve, reject) => {
    worker.stdout.on("data", (text) => {
      seen.out += text;
      if (seen.out.includes("\n")) resolve();
    });
    exited.then(() => reject(new Error(`the worker ended: ${seen.err}`)));
  });
  await connected;
  const get = (query) => call(broker.http, { path: `/0/metrics-api${query}`, headers: { "hera-token": token } });
  return { broker, worker, exited, seen, get };
}

for (const language of ["coffee", "javascript", "typescript"]) {
  test(`${language}: says that it is connected, and serves from then on`, async (t) => {
    const { seen, get, broker } = await started(t, language);
    assert.equal(seen.out, "connected to hera\n");
    const { status, headers, json } = await get("?id=1");
    assert.deepEqual([status, json()], [200, { id: 1, name: "calls", value: 42 }]);
    assert.equal(headers["content-type"], "application/json; charset=utf-8");
    assert.deepEqual((await get("?id=2")).json(), { id: 2, name: "errors", value: 0.5 });
    assert.equal((await get("?id=3")).json(), null);
    assert.equal((await call(broker.http, "/0/metrics-api?id=1")).status, 401);
    assert.equal(seen.err, "");
  });

  test(`${language}: an error of the database is 500 for the caller, and its text is in the worker's log alone`, async (t) => {
    const { seen, worker, exited, get } = await started(t, language);
    for (const query of ["?id=x", "", "?id=1&id=2"]) {
      const { status, headers, text, json } = await get(query);
      assert.deepEqual([status, headers["content-type"]], [500, "application/problem+json"]);
      assert.equal(json().code, "handler_failed");
      assert.doesNotMatch(text + JSON.stringify(headers), /metric|looked up|\.db|\.js/);
    }
    assert.deepEqual((await get("?id=1")).json().name, "calls");
    worker.kill("SIGTERM");
    await exited;
    assert.equal(seen.err.match(/cannot be looked up in .*metrics\.db/g).length, 3);
    assert.match(seen.err, /GET \/0\/metrics-api \(\S+\) failed/);
  });

  test(`${language}: SIGTERM lets what runs finish, and the process exits 0`, async (t) => {
    const { worker, exited, get, seen } = await started(t, language);
    const calls = Array.from({ length: 40 }, () => get("?id=1"));
    await Promise.race(calls);
    worker.kill("SIGTERM");
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    assert.deepEqual(await exited, [0, null]);
    // 503 is for calls that came when no worker was left; none may be lost on the way.
    for (const status of statuses) assert.ok(status === 200 || status === 503, `${status}`);
    assert.equal(seen.err, "");
  });
}

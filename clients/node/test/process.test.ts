import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../src/version.js";
import { FakeBroker, secret } from "./fake-broker.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
let folder = "";

/** A project that has the package installed, as users have it: by its name, from dist. */
before(() => {
  folder = mkdtempSync(join(tmpdir(), "hera-client-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules", "hera-client"));
});

after(() => rmSync(folder, { recursive: true }));

function start(file: string, source: string, env: Record<string, string>): ChildProcess {
  const path = join(folder, file);
  writeFileSync(path, source);
  return spawn(process.execPath, ["--no-warnings", path], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

test("import and require both give the callable", () => {
  writeFileSync(
    join(folder, "a.mjs"),
    'import hera, { HeraError } from "hera-client"; console.log(typeof hera, typeof HeraError);',
  );
  writeFileSync(
    join(folder, "a.cjs"),
    'const hera = require("hera-client"); console.log(typeof hera, typeof hera({brokers: "hera://x"}).get);',
  );
  for (const file of ["a.mjs", "a.cjs"]) {
    assert.equal(
      execFileSync(process.execPath, ["--no-warnings", join(folder, file)]).toString(),
      "function function\n",
    );
  }
});

test("version is that of the package", () => {
  assert.equal(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version, VERSION);
});

test("sample of the README runs as it stands", async (t) => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const sample = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  assert.ok(sample.split("\n").length <= 20);
  await servesHello(t, start("readme.mjs", sample, { HERA: "", SECRET: secret }), sample);
});

test("sample of inject in the README runs as it stands", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [, , sample] = /```js\n[\s\S]*?```[\s\S]*?(```js\n([\s\S]*?)```)/.exec(readme) ?? [];
  writeFileSync(join(folder, "inject.mjs"), sample ?? "");

  const told = execFileSync(process.execPath, ["--no-warnings", join(folder, "inject.mjs")]).toString();

  assert.equal(told, "201 { hello: 'Ada' }\n");
});

function callSample(n: number): string {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf("## Call another service"));
  return [...section.matchAll(/```js\n([\s\S]*?)```/g)][n]?.[1] ?? "";
}

test("sample of a call within a request in the README runs as it stands", () => {
  writeFileSync(join(folder, "call.mjs"), callSample(0));

  const told = execFileSync(process.execPath, ["--no-warnings", join(folder, "call.mjs")]).toString();

  assert.equal(told, "200 { order: '7', name: 'Ada' }\n");
});

test("sample of a program that only calls in the README runs as it stands, and ends", async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const child = start("report.mjs", callSample(1), { HERA: broker.url, SECRET: secret });
  let told = "";
  child.stdout?.on("data", (text) => {
    told += text;
  });
  const exited = once(child, "close");
  const worker = await broker.worker();

  const { id, params } = await worker.remote();
  worker.answer(id, { headers: [["content-type", "application/json"]] }, '{"name":"Ada"}');

  assert.deepEqual(await exited, [0, null]);
  assert.equal(params.target, "/0/users/42");
  assert.equal(told, "200 { name: 'Ada' }\n");
});

test("sample hello runs as it stands", async (t) => {
  const sample = readFileSync(join(root, "samples", "hello", "app.js"), "utf8");
  await servesHello(t, start("hello.mjs", sample, {}), sample);
});

/** Starts it again with a broker's address in HERA, calls it, and ends it by SIGTERM. */
async function servesHello(t: { after(end: () => unknown): void }, first: ChildProcess, sample: string): Promise<void> {
  first.kill("SIGKILL");
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const child = start("app.mjs", sample, { HERA: broker.url, SECRET: secret });
  const exited = once(child, "exit");
  const worker = await broker.worker();

  const { message, attachment } = await worker.ask("GET /0/hello/{name}", { path: "/0/hello/ann" });
  child.kill("SIGTERM");

  assert.equal(message.result.status, 200);
  assert.deepEqual(JSON.parse(attachment.toString()), { hello: "ann" });
  assert.deepEqual(await exited, [0, null]);
}

const SLOW = `
import hera from "hera-client";
const app = hera();
app.get("/0/slow", (req, res) => { process.on("SIGUSR2", () => res.json("done")); console.log("running"); });
await app.connect();
`;

test("SIGTERM answers what runs and exits 0", async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const child = start("slow.mjs", SLOW, { HERA: broker.url, SECRET: secret });
  const exited = once(child, "exit");
  const worker = await broker.worker();
  const id = worker.call("GET /0/slow");
  await once(child.stdout as NodeJS.ReadableStream, "data");

  child.kill("SIGTERM");
  await worker.until(({ message }) => message.method === "drain");
  child.kill("SIGUSR2");

  assert.equal((await worker.response(id)).attachment.toString(), '"done"');
  assert.deepEqual(await exited, [0, null]);
});

test("second signal does not wait for what runs", async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const child = start("slow.mjs", SLOW, { HERA: broker.url, SECRET: secret });
  const exited = once(child, "exit");
  const worker = await broker.worker();
  worker.call("GET /0/slow");
  await once(child.stdout as NodeJS.ReadableStream, "data");

  child.kill("SIGINT");
  await worker.until(({ message }) => message.method === "drain");
  child.kill("SIGINT");

  assert.deepEqual(await exited, [0, null]);
});

test("frozen worker starts no call that died while it slept", async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const source = `
import hera from "hera-client";
const app = hera();
let ran = 0;
app.get("/0/count", (req, res) => res.json(ran));
app.post("/0/run", (req, res) => { ran++; res.json(ran); });
await app.connect();
`;
  const child = start("count.mjs", source, { HERA: broker.url, SECRET: secret });
  t.after(() => child.kill("SIGKILL"));
  const worker = await broker.worker();
  await worker.ask("GET /0/count");

  child.kill("SIGSTOP");
  const ids = Array.from({ length: 50 }, () => worker.call("POST /0/run", { timeout_ms: 400 }));
  const wakeAt = performance.now() + 1_000;
  while (performance.now() < wakeAt) await new Promise((turn) => setImmediate(turn));
  child.kill("SIGCONT");

  for (const id of ids) assert.equal((await worker.response(id)).message.error?.data.code, "past_deadline");
  assert.equal((await worker.ask("GET /0/count")).attachment.toString(), "0");
});

test("process stays while brokers are away, and a signal ends it", async () => {
  const source = `
import hera from "hera-client";
const app = hera({ log: false });
app.connect().catch((error) => console.log(error.code));
console.log("dialling");
`;
  const child = start("away.mjs", source, { HERA: "hera://127.0.0.1:1", SECRET: secret });
  const exited = once(child, "exit");
  await once(child.stdout as NodeJS.ReadableStream, "data");

  child.kill("SIGTERM");

  assert.deepEqual(await exited, [0, null]);
});

test("worker key is read from the file that SECRET_FILE names", async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  writeFileSync(join(folder, "secret"), `${secret}\n`);
  const source =
    'import hera from "hera-client"; const app = hera(); await app.connect(); await app.close(); console.log("end");';
  const child = start("file.mjs", source, { HERA: broker.url, SECRET_FILE: join(folder, "secret") });

  assert.deepEqual(await once(child, "exit"), [0, null]);
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { call, startBroker } from "./broker.mjs";

const program = fileURLToPath(new URL("workers/bad-input.mjs", import.meta.url));

/** A worker that is a process of its own, behind a real broker. */
async function startWorker(t) {
  const broker = await startBroker(t);
  const [SECRET] = await Promise.all([broker.key(), broker.anonymous("* /**")]);
  const env = { ...process.env, SECRET, HERA: broker.brokers };
  const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const seen = { text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => {
      seen.text += text;
    });
  }
  /** Waits until the worker wrote this. */
  const wrote = async (what) => {
    while (!seen.text.includes(what)) {
      assert.equal(child.exitCode, null, `the worker ended: ${seen.text}`);
      await Promise.race([once(child.stdout, "data"), once(child.stderr, "data"), once(child, "exit")]);
    }
  };
  await wrote("connected to hera");
  const alive = async () => assert.equal((await call(broker.http, "/pid")).json(), child.pid, seen.text);
  return { broker, wrote, alive, get: (path) => call(broker.http, path), log: () => seen.text };
}

test("second answer, an answer after the end and one after the caller left are dropped and named", async (t) => {
  const { broker, wrote, alive, get } = await startWorker(t);

  for (const path of ["/twice", "/twice/later", "/twice/error", "/twice/reject"]) {
    const { status, text, headers } = await get(path);
    assert.deepEqual([status, text, headers["x-late"]], [200, '"first"', undefined], path);
  }
  assert.equal((await get("/after-end")).text, "begin!");
  await wrote("was answered a second time");

  const leaving = request(`${broker.http}/after-cancel`);
  leaving.on("error", () => {});
  leaving.end();
  await wrote("waits");
  leaving.destroy();
  await wrote("answered after cancel");
  await alive();
});

test("what cannot be sent is a clean 500, and nothing of it reaches the caller", async (t) => {
  const { alive, get, log } = await startWorker(t);
  const paths = [
    ...["cycle", "bigint", "later", "throws"].map((kind) => `/json/${kind}`),
    ...["crlf", "nul", "wide"].flatMap((kind) => [`/header/${kind}`, `/header-later/${kind}`]),
    ...["99", "100", "199", "600", "999", "NaN", "1.5"].flatMap((code) => [`/status/${code}`, `/status-later/${code}`]),
    ...["/header-name", "/cookie", "/write-head", "/piece", "/headers/many", "/headers/large"],
    ...["string", "number", "object", "symbol", "proxy"].map((what) => `/throw/${what}`),
    "/reject/nothing",
  ];
  for (const path of paths) {
    const { status, headers, text } = await get(path);
    assert.equal(status, 500, `${path}: ${text}`);
    assert.equal(headers["content-type"], "application/problem+json", path);
    assert.equal(JSON.parse(text).code, "handler_failed", path);
    assert.equal(headers["x-evil"], undefined, path);
    assert.ok(!text.includes("    at "), path);
    await alive();
  }
  for (const named of [
    "ERR_INVALID_CHAR",
    "ERR_INVALID_HTTP_TOKEN",
    "ERR_HTTP_INVALID_STATUS_CODE",
    "reply_too_large",
  ]) {
    assert.ok(log().includes(named), named);
  }
  const redirect = await get("/redirect");
  assert.deepEqual([redirect.status, redirect.headers["x-evil"]], [302, undefined]);
  assert.equal((await get("/error-headers")).headers["x-evil"], undefined);
  await alive();
});

test("no name that a caller sends reaches a prototype", async (t) => {
  const { broker, alive } = await startWorker(t);
  const names = ["__proto__", "constructor", "prototype"];
  const query = names.map(
    (name) => `${name}[polluted]=1&${name}.polluted=1&${name}=1&constructor[prototype][polluted]=1`,
  );
  const json =
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":[{"\\u005f_proto__":{"polluted":1}}]}';
  const bodies = [
    { headers: { "content-type": "application/json" }, body: json },
    { headers: { "content-type": "application/x-www-form-urlencoded" }, body: query.join("&") },
    { headers: { ["__proto__"]: "1", constructor: "1", cookie: "__proto__=1" }, body: "x" },
  ];
  for (const path of ["/pollute", "/pollute/polluted", "/pollute/__proto__/constructor"]) {
    for (const body of bodies) {
      const { status, text } = await call(broker.http, { method: "POST", path: `${path}?${query.join("&")}`, ...body });
      assert.deepEqual([status, text], [200, '["clean","clean"]'], path);
    }
  }
  await alive();
});

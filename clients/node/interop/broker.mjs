/** A real broker for a test, and calls to it. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const HERA = process.env.HERA_BIN ?? fileURLToPath(new URL("../../../target/debug/hera", import.meta.url));
const run = promisify(execFile);

/** Starts a broker that ends with the test. */
export async function startBroker(t) {
  const data = await mkdtemp(join(tmpdir(), "hera-interop-"));
  const listen = ["--http", "--workers", "--admin"].flatMap((name) => [name, "127.0.0.1:0"]);
  const child = spawn(HERA, ["broker", ...listen, "--data-dir", data], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(data, { recursive: true, force: true });
  });
  const failed = exited.then(() => assert.fail("the broker ended before it was ready"));
  failed.catch(() => {});
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
  const { http, workers, admin } = Object.fromEntries(
    line
      .split(" ")
      .slice(1)
      .map((pair) => pair.split("=")),
  );
  const cli = async (...args) => {
    const { stdout } = await run(HERA, [...args, "--admin", admin, "--data-dir", data]);
    return stdout.trim();
  };
  const allow = (rules) => rules.flatMap((rule) => ["--allow", rule]);
  return {
    http: `http://${http}`,
    admin,
    data,
    brokers: `hera://${workers}`,
    key: () => cli("key", "create", "--name", "interop", "--serve", "/**"),
    token: (...rules) => cli("token", "create", "--name", "caller", ...allow(rules)),
    anonymous: (...rules) => cli("token", "create", "--anonymous", ...allow(rules)),
  };
}

/** One call by plain `node:http`, so that headers and compressed bytes are seen as they came. */
export function call(target, options) {
  const { method = "GET", path, headers = {}, body } = typeof options === "string" ? { path: options } : options;
  const given = typeof body === "function" ? body() : body;
  const json = given !== undefined && typeof given !== "string" && !(given instanceof Uint8Array);
  const bytes = json ? JSON.stringify(given) : given;
  return new Promise((resolve, reject) => {
    const all = { ...(json ? { "content-type": "application/json" } : {}), ...headers };
    const req = request(target + path, { method, headers: all, agent: false }, async (res) => {
      try {
        const parts = [];
        for await (const part of res) parts.push(part);
        resolve(answerOf(res, Buffer.concat(parts)));
      } catch (error) {
        reject(error);
      }
    });
    req.on("error", reject);
    req.end(bytes);
  });
}

function answerOf(res, body) {
  return {
    status: res.statusCode,
    headers: res.headers,
    cookies: (res.headers["set-cookie"] ?? []).map((each) => each.split(";")[0]).join("; "),
    body,
    text: body.toString(),
    json: () => JSON.parse(body.toString()),
  };
}

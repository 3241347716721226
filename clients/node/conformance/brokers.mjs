/** Brokers for cases: each a fresh one, so that none remembers what an earlier case declared. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERA = process.env.HERA_BIN ?? fileURLToPath(new URL("../../../target/debug/hera", import.meta.url));

export class Brokers {
  #root;
  #count = 0;
  /** The next one starts while a case still runs on the one before. */
  #next;
  /** The worker key that each of them knows. */
  key;

  static async open() {
    const brokers = new Brokers();
    brokers.#root = await mkdtemp(join(tmpdir(), "hera-conformance-"));
    const first = await start(join(brokers.#root, "template"));
    brokers.key = first.cli("key", "create", "--name", "cases", "--serve", "/**");
    first.cli("token", "create", "--anonymous", "--allow", "* /**");
    await first.stop();
    brokers.#next = brokers.#start();
    return brokers;
  }

  take() {
    const taken = this.#next;
    this.#next = this.#start();
    return taken;
  }

  async close() {
    await (await this.#next).stop();
    await rm(this.#root, { recursive: true, force: true });
  }

  async #start() {
    const data = join(this.#root, String(this.#count++));
    await cp(join(this.#root, "template"), data, { recursive: true });
    return start(data);
  }
}

async function start(data) {
  const listen = ["--http", "--workers", "--admin"].flatMap((name) => [name, "127.0.0.1:0"]);
  const child = spawn(HERA, ["broker", ...listen, "--data-dir", data], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  const failed = exited.then(([code]) => assert.fail(`the broker ended with ${code} before it was ready`));
  failed.catch(() => {});
  const [ready] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
  const { http, workers, admin } = Object.fromEntries(ready.split(" ").map((pair) => pair.split("=")));
  return {
    url: `http://${http}`,
    workers: `hera://${workers}`,
    cli: (...args) =>
      execFileSync(HERA, [...args, "--admin", admin, "--data-dir", data], { stdio: ["ignore", "pipe", "pipe"] })
        .toString()
        .trim(),
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A real broker for a test. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const HERA = process.env.HERA_BIN ?? fileURLToPath(new URL("../../../../target/debug/hera", import.meta.url));

/** One broker process. */
export interface Broker {
  id: string;
  url: string;
  workers: string;
  child: ChildProcess;
  cli(...args: string[]): string;
  stop(signal: NodeJS.Signals): Promise<void>;
}

/** Starts one, and waits until it is ready. */
export async function start(data: string, ...registry: string[]): Promise<Broker> {
  const listen = ["--http", "--workers", "--admin"].flatMap((name) => [name, "127.0.0.1:0"]);
  const child = spawn(HERA, ["broker", ...listen, "--data-dir", data, ...registry], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  const failed = exited.then(([code]) => assert.fail(`the broker ended with ${code} before it was ready`));
  failed.catch(() => {});
  const [ready] = (await Promise.race([once(createInterface(child.stdout), "line"), failed])) as [string];
  const { http, workers, id, admin } = Object.fromEntries(ready.split(" ").map((pair) => pair.split("=")));
  return {
    id,
    url: `http://${http}`,
    workers,
    child,
    cli: (...args) =>
      execFileSync(HERA, [...args, "--admin", admin, "--data-dir", data], { stdio: ["ignore", "pipe", "ignore"] })
        .toString()
        .trim(),
    async stop(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

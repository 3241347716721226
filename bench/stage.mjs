// What the benchmarks have in common: processes, ports, CPU from /proc, a broker.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
export const bin = (name) => join(root, "target", "release", name);

export function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** `median (least-most)`. */
export function spread(numbers) {
  return `${median(numbers).toFixed(1)} (${Math.min(...numbers).toFixed(1)}-${Math.max(...numbers).toFixed(1)})`;
}

/** User and system time of a process so far, in microseconds. */
export function micros(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

export function rssKiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
}

export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** What curl gets; empty where the answer is none or an error. */
export function answers(url, token) {
  try {
    return execFileSync("curl", ["-sf", url, "-H", `Hera-Token: ${token}`]).toString();
  } catch {
    return "";
  }
}

/** A folder, and processes that end with it. */
export class Stage {
  run = mkdtempSync(join(tmpdir(), "hera-bench-"));
  #children = [];

  start(command, args, options = {}) {
    const file = join(this.run, `${this.#children.length}.log`);
    const log = openSync(file, "w");
    const child = spawn(command, args, { stdio: ["ignore", log, log], cwd: this.run, ...options });
    child.log = () => readFileSync(file, "utf8");
    this.#children.push(child);
    return child;
  }

  async until(check, what) {
    for (let tries = 0; tries < 200; tries++) {
      if (check()) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`${what} did not come up\n${this.#children.map((child) => child.log().slice(-2000)).join("\n")}`);
  }

  /** A broker on one core that checks a token and writes an access log: its process, where it is, and a token and a key for `/0/`. */
  async broker() {
    const [http, workers, admin] = await Promise.all([1, 2, 3].map(freePort));
    const dir = join(this.run, "data");
    const at = ["--http", `127.0.0.1:${http}`, "--workers", `127.0.0.1:${workers}`, "--admin", `127.0.0.1:${admin}`];
    const env = { ...process.env, HERA_BROKER__CORES: "1", HERA_LOG__ACCESS: join(this.run, "access.log") };
    const child = this.start(bin("hera"), ["broker", "--data-dir", dir, ...at], { env });
    await this.until(() => child.log().includes("ready http="), "the broker");
    const verb = (...args) =>
      execFileSync(bin("hera"), [...args, "--admin", `127.0.0.1:${admin}`, "--data-dir", dir], { stdio: ["ignore", "pipe", "ignore"] })
        .toString()
        .trim();
    return {
      pid: child.pid,
      url: `http://127.0.0.1:${http}`,
      hera: `hera://127.0.0.1:${workers}`,
      token: verb("token", "create", "--name", "bench", "--allow", "* /0/**"),
      key: verb("key", "create", "--name", "bench", "--serve", "/0/**"),
    };
  }

  end() {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.run, { recursive: true, force: true });
  }
}

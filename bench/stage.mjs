// Where a benchmark takes place: a folder, ports, cores, the processes and their end; and a broker.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
export const bin = (name) => join(root, "target", "release", name);

/** The cores that this process may use, as numbers: `0-1,4` is 0, 1, 4. */
const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))[1].split(",").flatMap((part) => {
  const [first, last = first] = part.split("-").map(Number);
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
});

/** A core for the middle alone, one for what is behind it and one for the load; of two cores these share one, and a single core is left to the kernel. */
export const pins =
  allowed.length < 2 ? {} : { middle: allowed[0], behind: allowed[1], load: allowed[Math.min(2, allowed.length - 1)] };

/** A command line that stays on a core; `core` may be undefined. */
export const onCore = (core, command, args) => (core === undefined ? [command, args] : ["taskset", ["-c", String(core), command, ...args]]);

export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** What curl gets: `{ status, body }`; status 0 where nobody answers. */
export function ask(url, token, ...args) {
  try {
    const out = execFileSync("curl", ["-s", "-m", "10", "-w", "\n%{http_code}", url, "-H", `Hera-Token: ${token}`, ...args]).toString();
    const end = out.lastIndexOf("\n");
    return { status: Number(out.slice(end + 1)), body: out.slice(0, end) };
  } catch {
    return { status: 0, body: "" };
  }
}

/** A folder, and processes that end with it. */
export class Stage {
  run = mkdtempSync(join(tmpdir(), "hera-bench-"));
  #children = [];
  #end = () => this.end();

  constructor() {
    process.once("exit", this.#end);
  }

  /** Starts a process; with `core`, it stays on that one. What it prints goes to a file. */
  start(command, args, { core, ...options } = {}) {
    const file = join(this.run, `${this.#children.length}.log`);
    const log = openSync(file, "a");
    const child = spawn(...onCore(core, command, args), { stdio: ["ignore", log, log], cwd: this.run, ...options });
    child.on("error", (error) => console.error(`${command}: ${error.message}`));
    child.log = () => readFileSync(file, "utf8");
    this.#children.push(child);
    return child;
  }

  /** Waits for a condition; a start under valgrind may take a minute. */
  async until(check, what) {
    for (let tries = 0; tries < 1200; tries++) {
      if (check()) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`${what} did not come up\n${this.#children.map((child) => child.log().slice(-2000)).join("\n")}`);
  }

  /**
   * A broker that checks a token and writes an access log: its process, where it is, and a token and a key for `/0/`.
   * `env` holds configuration, `HERA_SECTION__KEY`; `under` a command line that it runs in.
   */
  async broker({ core, env = {}, under = [] } = {}) {
    const [http, workers, admin] = await Promise.all([1, 2, 3].map(freePort));
    const dir = join(this.run, `data-${http}`);
    const at = ["--http", `127.0.0.1:${http}`, "--workers", `127.0.0.1:${workers}`, "--admin", `127.0.0.1:${admin}`];
    const [command, ...args] = [...under, bin("hera"), "broker", "--data-dir", dir, ...at];
    const settings = { HERA_BROKER__CORES: "1", HERA_LOG__ACCESS: join(this.run, `access-${http}.log`), ...env };
    const child = this.start(command, args, { core, env: { ...process.env, ...settings } });
    await this.until(() => child.log().includes("ready http="), "the broker");
    const verb = (...args) =>
      execFileSync(bin("hera"), [...args, "--admin", `127.0.0.1:${admin}`, "--data-dir", dir], { stdio: ["ignore", "pipe", "ignore"] })
        .toString()
        .trim();
    return {
      pid: child.pid,
      child,
      url: `http://127.0.0.1:${http}`,
      hera: `hera://127.0.0.1:${workers}`,
      token: verb("token", "create", "--name", "bench", "--allow", "* /0/**"),
      key: verb("key", "create", "--name", "bench", "--serve", "/0/**", "--call", "GET /0/**"),
    };
  }

  /** Rust workers of a broker: `bench worker 1`, `bench crowd 10 1000`. */
  workers(broker, args, options = {}) {
    return this.start(bin("examples/bench"), args.map(String), { ...options, env: { ...process.env, HERA: broker.hera, SECRET: broker.key } });
  }

  /** Empties all logs, whose writers append: in half an hour they would fill a small disk. */
  emptyLogs() {
    for (const file of readdirSync(this.run)) if (file.endsWith(".log")) truncateSync(join(this.run, file));
  }

  end() {
    process.off("exit", this.#end);
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.run, { recursive: true, force: true });
  }
}

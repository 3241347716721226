/** The last list of brokers, kept on disk for a start while ZooKeeper is away.
 *
 *  Ten copies of a worker on one host share the file: each replaces it whole, by rename, and they write the same. A file that
 *  cannot be read or written is told once, and is never a reason to stop. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { BROKERS_MAX, type BrokerNode, checkBroker } from "./broker-node.js";
import type { Log } from "./options.js";

/** What a file of ours can be at most, with room to spare: 64 nodes of 4 KiB. */
const FILE_BYTES_MAX = 1_048_576;
const FORMAT = 1;

/** The folder for what is kept: `$HERA_STATE_DIR`, else `$XDG_STATE_HOME/hera`, else `~/.local/state/hera`. */
export function stateDir(env: Record<string, string | undefined>): string | undefined {
  if (env.HERA_STATE_DIR) return env.HERA_STATE_DIR;
  // A relative path there is to be ignored, says the XDG specification.
  if (env.XDG_STATE_HOME && isAbsolute(env.XDG_STATE_HOME)) return join(env.XDG_STATE_HOME, "hera");
  try {
    return join(homedir(), ".local", "state", "hera");
  } catch {
    // No HOME, and a user that the system does not know.
    return undefined;
  }
}

export class SavedList {
  readonly #folder: string | undefined;
  readonly #path: string | undefined;
  readonly #log: Log;
  /** What the file holds, as far as we know. */
  #text: string | undefined;
  #next: string | undefined;
  #writing: Promise<void> | undefined;
  #told = false;

  /** @param source the connection string, by which workers of the same cluster share the file */
  constructor(folder: string | undefined, source: string, log: Log) {
    const digest = createHash("sha256").update(source).digest("hex").slice(0, 16);
    this.#folder = folder;
    this.#path = folder && join(folder, `brokers-${digest}.json`);
    this.#log = log;
  }

  /** The brokers of the file; none where there is no file, or no good one. */
  async read(): Promise<BrokerNode[]> {
    const path = this.#path;
    if (!path) return [];
    try {
      const file = await stat(path);
      if (!file.isFile()) throw new Error("it is no file");
      if (file.size > FILE_BYTES_MAX) throw new Error(`${file.size} bytes are more than ${FILE_BYTES_MAX}`);
      const text = await readFile(path, "utf8");
      const brokers = parse(text);
      this.#text = text;
      return brokers;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#tell("read", error);
      return [];
    }
  }

  /** Writes a list that is not the file's already; of several that come while one is written, the last. */
  keep(brokers: BrokerNode[]): void {
    if (!this.#path || brokers.length === 0) return;
    this.#next = format(brokers);
    this.#writing ??= this.#writeAll(this.#path).finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(path: string): Promise<void> {
    if (this.#text === undefined) await this.read();
    while (this.#next !== undefined) {
      const text = this.#next;
      this.#next = undefined;
      if (text !== this.#text) await this.#write(path, text);
    }
  }

  async #write(path: string, text: string): Promise<void> {
    const beside = `${path}.${randomBytes(8).toString("hex")}`;
    try {
      await makeFolder(this.#folder as string);
      await writeFile(beside, text, { mode: 0o600, flag: "wx" });
      await rename(beside, path);
      this.#text = text;
    } catch (error) {
      this.#tell("written", error);
      await rm(beside, { force: true }).catch(() => {});
    }
  }

  #tell(verb: string, error: unknown): void {
    if (this.#told) return;
    this.#told = true;
    this.#log.warn(
      `saved list of brokers ${this.#path} cannot be ${verb}: ${(error as Error).message}; ` +
        "without it a start while zookeeper is away finds no broker; set HERA_STATE_DIR to a folder that can be written",
    );
  }
}

/** Node's own `recursive` never ends where a folder takes none, as in `/proc`. */
async function makeFolder(path: string, parents = true): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Where it is something else than a folder, the write says so.
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || !parents || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await makeFolder(path, false);
  }
}

function format(brokers: BrokerNode[]): string {
  const list = brokers.map(({ id, address, port, protocols }) => ({ id, address, port, protocols }));
  return `${JSON.stringify({ format: FORMAT, brokers: list })}\n`;
}

/** Entries that are no brokers are left out, as nodes are. */
function parse(text: string): BrokerNode[] {
  const { format, brokers } = (JSON.parse(text) ?? {}) as { format?: unknown; brokers?: unknown };
  if (format !== FORMAT || !Array.isArray(brokers)) throw new Error(`format is not ${FORMAT}`);
  return brokers
    .map(checkBroker)
    .filter((broker) => typeof broker === "object")
    .slice(0, BROKERS_MAX);
}

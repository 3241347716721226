/** The worker key: the secret that a worker proves itself with (P-22). */
import { createHash } from "node:crypto";
import { HeraError } from "./errors.js";

/** A worker key, taken apart. Never logged: only `id` may be shown. */
export class WorkerKey {
  readonly id: string;
  readonly #seed: Buffer;
  readonly #cluster: Buffer;

  constructor(id: string, seed: Buffer, cluster: Buffer) {
    this.id = id;
    this.#seed = seed;
    this.#cluster = cluster;
  }

  /** Seed of the worker's Ed25519 pair, 32 bytes. */
  get seed(): Buffer {
    return this.#seed;
  }

  /** The cluster's Ed25519 public key, 32 bytes: what a broker has to prove. */
  get cluster(): Buffer {
    return this.#cluster;
  }
}

const FORM = /^herakey_[0-9a-f]{152}$/;
const CHECKED = 8 + 16 + 64 + 64;

/** Reads the text of a worker key; white space around it is allowed, since files end in a newline.
 *  @throws HeraError `bad_key`, which never shows the text */
export function parseKey(text: string): WorkerKey {
  const key = text.trim();
  if (!FORM.test(key)) {
    throw new HeraError("bad_key", "worker key is not `herakey_` and 152 lower-case hex digits");
  }
  const sum = createHash("sha256").update(key.slice(0, CHECKED)).digest("hex").slice(0, 8);
  if (sum !== key.slice(CHECKED)) {
    throw new HeraError("bad_key", "worker key is damaged: its checksum does not fit");
  }
  const hex = key.slice(8);
  return new WorkerKey(hex.slice(0, 16), Buffer.from(hex.slice(16, 80), "hex"), Buffer.from(hex.slice(80, 144), "hex"));
}

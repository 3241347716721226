/** The body of a remote call: what was given, as bytes or as pieces that come. */
import { kindOf } from "./body.js";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import type { OutgoingBody } from "./stream.js";

/** Bytes that are all here, or pieces that come, or neither. */
export interface RemoteBody {
  whole?: Buffer | string;
  pieces?: Pieces;
  /** Whether it goes on in chunks behind the call's frame. */
  more: boolean;
  /** Its content type, where the caller says none that it keeps. */
  type?: string;
  /** Whether a content type that the caller gives can be true of it. */
  keeps(type: string): boolean;
  /** Whether a content encoding that the caller gives can be. */
  encoded: boolean;
}

/** @throws HeraError `bad_option` */
export function readBody(body: unknown): RemoteBody {
  if (body === undefined || body === null) return { more: false, keeps: never, encoded: false };
  if (typeof body === "string") return text(body, "text/plain; charset=utf-8", always);
  if (ArrayBuffer.isView(body)) return bytes(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  if (body instanceof ArrayBuffer) return bytes(Buffer.from(body));
  if (body instanceof URLSearchParams) {
    return text(body.toString(), "application/x-www-form-urlencoded", (type) => kindOf(type) === "form");
  }
  if (body instanceof Blob || body instanceof FormData) {
    throw new HeraError("bad_option", "body is a Blob or FormData: give its bytes or its stream, and a content-type");
  }
  if (typeof body === "object" && Symbol.asyncIterator in body) {
    return { pieces: new Pieces(body as AsyncIterable<unknown>), more: true, keeps: always, encoded: true };
  }
  const json = JSON.stringify(body) as string | undefined;
  if (json === undefined) throw new HeraError("bad_option", `body is a ${typeof body}, which has no JSON`);
  return text(json, "application/json", (type) => kindOf(type) === "json");
}

function bytes(whole: Buffer): RemoteBody {
  return { whole, more: whole.length > limits.attachment_bytes_max, keeps: always, encoded: true };
}

function text(given: string, type: string, keeps: RemoteBody["keeps"]): RemoteBody {
  const more = Buffer.byteLength(given) > limits.attachment_bytes_max;
  return { whole: more ? Buffer.from(given) : given, more, type, keeps, encoded: false };
}

const always = (): boolean => true;
const never = (): boolean => false;

/** A body whose bytes are not here yet. Nothing is taken out of it before somebody grants credit, so that a call that no worker has
 *  begun on can be made again. */
export class Pieces {
  readonly #source: AsyncIterable<unknown>;
  #begun = false;
  #stopped = false;
  #failure: Error | undefined;
  #room: (() => void) | undefined;
  /** Runs when it cannot be read. */
  onFailure: ((error: Error) => void) | undefined;

  constructor(source: AsyncIterable<unknown>) {
    this.#source = source;
    // A stream may fail before anybody reads it, and an error without a listener would end the process.
    (source as Partial<NodeJS.EventEmitter>).on?.("error", (error: Error) => this.#failed(error));
  }

  get begun(): boolean {
    return this.#begun;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for await (const piece of this.#source) yield bytesOf(piece);
  }

  /** Sends all of it, as fast as credit comes. */
  async sendTo(output: OutgoingBody): Promise<void> {
    this.#begun = true;
    output.onRoom = () => this.#room?.();
    try {
      for await (const piece of this) {
        if (this.#stopped || output.over) return;
        if (!output.write(piece) && !output.over) await this.#roomAgain();
      }
      output.end();
    } catch (error) {
      this.#failed(error as Error);
    }
  }

  /** Nobody wants the rest. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#room?.();
    (this.#source as { destroy?: () => void }).destroy?.();
  }

  #roomAgain(): Promise<void> {
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  #failed(error: Error): void {
    if (this.#failure || this.#stopped) return;
    this.#failure = error;
    this.onFailure?.(error);
  }
}

/** @throws TypeError */
function bytesOf(piece: unknown): Buffer {
  if (typeof piece === "string") return Buffer.from(piece);
  if (piece instanceof Uint8Array) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  throw new TypeError(`a piece of the body is a ${typeof piece}: pieces are text or bytes`);
}

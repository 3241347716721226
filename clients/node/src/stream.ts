/** Bodies that come and go in chunks under credit (P-38 to P-42). */
import { Readable } from "node:stream";
import type { ChunkSource } from "./connection.js";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";

const WINDOW = limits.stream_window_bytes;
/** Small against the window, so that bodies take turns; large against a frame's cost. */
const CHUNK_BYTES = 65_536;

/** How a body speaks to its other end. */
export interface BodyWire {
  notify(method: "credit" | "end" | "reset", fields: string): void;
  chunk(attachment: Buffer): void;
}

/** What becomes of a body's bytes. */
export interface Sink {
  chunk(bytes: Buffer): void;
  end(): void;
  fail(error: HeraError): void;
}

/** Receiving side: counts the credit, and hands bytes to its sink. */
export class IncomingBody {
  readonly #wire: BodyWire;
  readonly #over: () => void;
  #granted = 0;
  #sink: Sink | undefined;
  #ended = false;

  /** @param over runs once, when it ended in whatever way */
  constructor(wire: BodyWire, over: () => void) {
    this.#wire = wire;
    this.#over = over;
  }

  get ended(): boolean {
    return this.#ended;
  }

  set sink(sink: Sink) {
    this.#sink = sink;
  }

  /** Bytes that the sender may still send. */
  get granted(): number {
    return this.#granted;
  }

  grant(bytes: number): void {
    if (this.#ended || bytes <= 0) return;
    this.#granted += bytes;
    this.#wire.notify("credit", `,"bytes":${bytes}`);
  }

  /** Takes a chunk; gives false when it is more than was granted, which is fatal (P-39). */
  chunk(bytes: Buffer): boolean {
    if (this.#ended) return true;
    if (bytes.length > this.#granted) return false;
    this.#granted -= bytes.length;
    this.#sink?.chunk(bytes);
    return true;
  }

  end(): void {
    if (!this.#close()) return;
    this.#sink?.end();
  }

  /** The sender, or what carried it, gave up: the reader sees an error and never an end (P-40). */
  fail(error: HeraError): void {
    if (!this.#close()) return;
    this.#sink?.fail(error);
  }

  /** We want no more of it. */
  stop(code: string): void {
    if (this.#ended) return;
    this.#wire.notify("reset", `,"code":"${code}"`);
    this.#close();
  }

  #close(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#over();
    return true;
  }
}

/** Gathers a whole body, at most `most` bytes. */
export class Gather implements Sink {
  readonly #body: IncomingBody;
  readonly #most: number;
  readonly #done: (error: HeraError | undefined, whole: Buffer) => void;
  #parts: Buffer[];
  #held: number;

  constructor(
    body: IncomingBody,
    first: Buffer,
    most: number,
    done: (error: HeraError | undefined, whole: Buffer) => void,
  ) {
    this.#body = body;
    this.#most = most;
    this.#done = done;
    this.#parts = [first];
    this.#held = first.length;
    body.grant(WINDOW);
  }

  chunk(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    if (this.#held > this.#most) {
      this.#body.stop("body_too_large");
      const text = `body of over ${this.#most} bytes exceeds the endpoint's limit`;
      this.#finish(new HeraError("body_too_large", text, { status: 413 }));
    } else if (this.#body.granted <= WINDOW / 2) {
      this.#body.grant(WINDOW - this.#body.granted);
    }
  }

  end(): void {
    this.#finish(undefined);
  }

  fail(error: HeraError): void {
    this.#finish(error);
  }

  #finish(error: HeraError | undefined): void {
    const whole = error ? Buffer.alloc(0) : Buffer.concat(this.#parts, this.#held);
    this.#parts = [];
    this.#done(error, whole);
  }
}

/** A body as a stream; grants credit as it is consumed, so that at most one window waits here. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: a Readable by its prototype, see below.
export class BodyStream implements Sink {
  #first: Buffer;
  readonly #body: IncomingBody | undefined;
  #begun = false;
  #granting = false;

  /** @param body undefined: `first` is all of it */
  constructor(first: Buffer, body: IncomingBody | undefined) {
    this.#first = first;
    this.#body = body;
    if (body) body.sink = this;
  }

  /** Whether anybody reads it. */
  get begun(): boolean {
    return this.#begun;
  }

  chunk(bytes: Buffer): void {
    this.push(bytes);
  }

  end(): void {
    if (!this.#begun) this.#begin();
    this.push(null);
  }

  fail(error: HeraError): void {
    this.destroy(error);
  }

  _read(): void {
    if (!this.#begun) {
      this.#begin();
      if (!this.#body) this.push(null);
    }
    if (this.#granting || !this.#body) return;
    this.#granting = true;
    // Node calls this before it takes the bytes out of its buffer, so their room can be counted only a moment later.
    process.nextTick(() => this.#grant());
  }

  _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#begun) this.#body?.stop("cancelled");
    // A body that was cut short must not end the process where no handler looks at it; readers still see the error.
    done(error && this.listenerCount("error") === 0 ? null : error);
  }

  #begin(): void {
    this.#begun = true;
    if (this.#first.length > 0) this.push(this.#first);
    this.#first = NOTHING;
  }

  #grant(): void {
    this.#granting = false;
    const body = this.#body;
    if (!body || body.ended || this.destroyed) return;
    const room = WINDOW - this.readableLength - body.granted;
    if (room >= CHUNK_BYTES || body.granted === 0) body.grant(room);
  }
}

export interface BodyStream extends Readable {}

// A Readable whose state is made when something first looks at it. Few handlers read the bytes of a body themselves, and the
// state of a stream is what a call would otherwise allocate most of: without it a call costs a tenth less (bench/node.mjs).
Object.setPrototypeOf(BodyStream.prototype, Readable.prototype);
Object.defineProperty(BodyStream.prototype, "_readableState", {
  configurable: true,
  get(this: BodyStream) {
    Object.defineProperty(this, "_readableState", { value: undefined, writable: true, configurable: true });
    (Readable as unknown as (this: BodyStream, options: object) => void).call(this, STREAM_OPTIONS);
    return (this as unknown as { _readableState: unknown })._readableState;
  },
});

/** Sending side: keeps what waits for credit. */
export class OutgoingBody implements ChunkSource {
  readonly #wire: BodyWire;
  readonly #offer: (source: ChunkSource) => void;
  readonly #over: () => void;
  #queue: { bytes: Buffer; written: Written | undefined }[] = [];
  #queued = 0;
  #credit = 0;
  #ending = false;
  #stopped = false;
  #full = false;
  /** Runs when there is room again after `write` gave false. */
  onRoom: (() => void) | undefined;
  /** Runs once: with true when all of it went out, with false when nobody reads on. */
  onOver: ((whole: boolean) => void) | undefined;

  /** @param over runs once, when the end went out or the body was stopped */
  constructor(wire: BodyWire, offer: (source: ChunkSource) => void, over: () => void) {
    this.#wire = wire;
    this.#offer = offer;
    this.#over = over;
  }

  /** Whether nothing more will be sent for it. */
  get over(): boolean {
    return this.#stopped;
  }

  get ready(): boolean {
    if (this.#stopped) return false;
    return this.#queued > 0 ? this.#credit > 0 : this.#ending || this.#queue.length > 0;
  }

  /** Bytes that wait for credit. */
  get queued(): number {
    return this.#queued;
  }

  /** Queues bytes; gives whether it would take more without holding over a window.
   *  @param written runs when they went out, or with an error when nobody reads on */
  write(bytes: Buffer, written?: Written): boolean {
    if (this.#stopped || this.#ending) {
      if (written) process.nextTick(written, unread());
      return false;
    }
    if (bytes.length > 0 || written) {
      this.#queue.push({ bytes, written });
      this.#queued += bytes.length;
      this.#offer(this);
    }
    this.#full = this.#queued >= WINDOW;
    return !this.#full && !this.#stopped;
  }

  end(): void {
    if (this.#ending || this.#stopped) return;
    this.#ending = true;
    this.#offer(this);
  }

  /** Gives false when the credit is more than can be (P-39). */
  credit(bytes: number): boolean {
    this.#credit += bytes;
    if (this.#credit > 2 ** 31 - 1) return false;
    this.#offer(this);
    return true;
  }

  sendOne(): void {
    const [first] = this.#queue;
    if (!first) {
      this.#wire.notify("end", "");
      this.#stop(true);
      return;
    }
    const { bytes, written } = first;
    const length = Math.min(bytes.length, this.#credit, CHUNK_BYTES);
    const whole = length === bytes.length;
    if (whole) this.#queue.shift();
    else first.bytes = bytes.subarray(length);
    this.#queued -= length;
    this.#credit -= length;
    if (length > 0) this.#wire.chunk(bytes.subarray(0, length));
    if (whole && written) process.nextTick(written, null);
    if (this.#full && this.#queued < WINDOW) {
      this.#full = false;
      if (this.onRoom) process.nextTick(this.onRoom);
    }
  }

  /** Ends it unfinished: the other side sees an error. */
  reset(code: string): void {
    if (this.#stopped) return;
    this.#wire.notify("reset", `,"code":"${code}"`);
    this.#stop(false);
  }

  /** Nobody reads on: the other side reset it, or the call or the connection is gone. */
  stop(): void {
    this.#stop(false);
  }

  #stop(whole: boolean): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const { written } of this.#queue) if (written) process.nextTick(written, unread());
    this.#queue = [];
    this.#queued = 0;
    if (this.onOver) process.nextTick(this.onOver, whole);
    this.#over();
  }
}

/** Runs when a piece went out, or with the error for which it did not. */
export type Written = (error?: Error | null) => void;

function unread(): HeraError {
  return new HeraError("cancelled", "nobody reads the body any more");
}

const NOTHING = Buffer.alloc(0);
const STREAM_OPTIONS = { highWaterMark: WINDOW };

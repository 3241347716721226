/** What a remote call resolves to. */
import type { IncomingHttpHeaders } from "node:http";
import { inflate, parseBody, textOf } from "./body.js";
import { HeraError } from "./errors.js";
import { joinHeaders } from "./incoming.js";
import { BodyStream, type IncomingBody } from "./stream.js";

/** Who answered, as the broker says (P-52). */
export interface Meta {
  worker: string;
  attempts: number;
  /** Milliseconds that the worker took. */
  workerMs: number;
}

/** A worker's answer, whatever its status.
 *  @typeParam Body what the body is parsed to; nothing checks it */
export class RemoteReply<Body = unknown> {
  readonly status: number;
  /** By lower-case name; set-cookie is a list. Without prototype. */
  readonly headers: IncomingHttpHeaders;
  /** JSON and forms as values, `text/…` as text, anything else as a Buffer; undefined where there is none. With the option `stream` a
   *  Readable: destroy it when you want no more of it. */
  readonly body: Body;
  /** The same in every log. */
  readonly requestId: string;
  /** `service/version/instance` of the worker that answered. */
  readonly worker: string;
  /** How often a broker sent the call to a worker. */
  readonly attempts: number;

  /** @internal */
  constructor(status: number, headers: IncomingHttpHeaders, body: Body, requestId: string, meta: Meta) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.requestId = requestId;
    this.worker = meta.worker;
    this.attempts = meta.attempts;
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }
}

/** An answer as it came: the body gathered, or a stream of it. */
export interface Answer {
  status: number;
  headers: [string, string][];
  meta: Meta;
  body: Buffer | ReplyStream;
}

/** @param most bytes that the body, also after its content encoding is taken off, may have
 *  @throws HeraError `bad_body` or `reply_too_large` */
export function replyOf({ status, headers: pairs, meta, body }: Answer, most: number, requestId: string): RemoteReply {
  const headers = joinHeaders(pairs);
  if (body instanceof ReplyStream) return new RemoteReply(status, headers, body, requestId, meta);
  try {
    const parsed = parse(headers["content-type"], headers["content-encoding"], body, most);
    return new RemoteReply(status, headers, parsed, requestId, meta);
  } catch (cause) {
    const code = (cause as HeraError).code === "body_too_large" ? "reply_too_large" : "bad_body";
    const text = `the body of the answer ${status} cannot be read: ${(cause as HeraError).message}`;
    throw new HeraError(code, text, { status: 502, executed: "maybe", requestId, cause });
  }
}

function parse(type: string | undefined, encoding: string | undefined, bytes: Buffer, most: number): unknown {
  if (bytes.length > most) throw new HeraError("body_too_large", `it has over ${most} bytes`);
  try {
    if (!type || !/^\s*text\//i.test(type)) return parseBody(type, encoding, bytes, most);
    return textOf(type, inflate(encoding, bytes, most)) || undefined;
  } catch (error) {
    // Another charset or encoding than this library knows is the handler's own to read.
    if ((error as HeraError).status === 415) return bytes;
    throw error;
  }
}

/** The body of an answer as it comes; destroying it tells the other side to stop. */
export class ReplyStream extends BodyStream {
  readonly #body: IncomingBody | undefined;

  constructor(first: Buffer, body: IncomingBody | undefined) {
    super(first, body);
    this.#body = body;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#body?.stop("cancelled");
    super._destroy(error, done);
  }
}

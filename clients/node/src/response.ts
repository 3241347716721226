/** The response a handler writes to; it answers once. */
import type { Call, HeaderList } from "./call.js";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";

export type HeaderValue = string | number | readonly string[];

/** What a response tells the app. */
export interface ResponseHost {
  /** A second answer was dropped; told once for each call. */
  answeredTwice(error: HeraError): void;
}

export class Response {
  readonly #call: Call;
  readonly #host: ResponseHost;
  #status = 200;
  #headers: HeaderList = [];
  #locals: Record<string, unknown> | undefined;
  #headersSent = false;
  #ended = false;
  #told = false;

  constructor(call: Call, host: ResponseHost) {
    this.#call = call;
    this.#host = host;
  }

  get statusCode(): number {
    return this.#status;
  }

  set statusCode(status: number) {
    this.status(status);
  }

  /** Whether the status and the headers are on their way, so that they cannot be changed any more. */
  get headersSent(): boolean {
    return this.#headersSent;
  }

  /** Whether the answer is complete. */
  get writableEnded(): boolean {
    return this.#ended;
  }

  /** Values for later handlers of this call. */
  get locals(): Record<string, unknown> {
    this.#locals ??= Object.create(null) as Record<string, unknown>;
    return this.#locals;
  }

  /** @param status 200 to 599
   *  @throws RangeError */
  status(status: number): this {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`status ${String(status)} is not an integer from 200 to 599`);
    }
    this.#status = status;
    return this;
  }

  /** Sets a header, or several by an object; a list gives one header for each value.
   *  @throws TypeError for a name that is no token, and for a value with control characters or beyond Latin-1 */
  set(name: string | Record<string, HeaderValue>, value?: HeaderValue): this {
    if (typeof name !== "string") {
      for (const key of Object.keys(name)) this.set(key, name[key]);
      return this;
    }
    if (value === undefined) throw new TypeError(`header ${name} has no value`);
    const key = headerName(name);
    const values = (Array.isArray(value) ? value : [value]).map((each) => headerValue(key, each));
    this.#remove(key);
    for (const each of values) this.#headers.push([key, key === "content-type" ? withCharset(each) : each]);
    return this;
  }

  header(name: string | Record<string, HeaderValue>, value?: HeaderValue): this {
    return this.set(name, value);
  }

  setHeader(name: string, value: HeaderValue): this {
    return this.set(name, value);
  }

  /** Adds a header beside those of the same name. */
  append(name: string, value: HeaderValue): this {
    const key = headerName(name);
    for (const each of Array.isArray(value) ? value : [value]) this.#headers.push([key, headerValue(key, each)]);
    return this;
  }

  get(name: string): string | undefined {
    const key = name.toLowerCase();
    const values = this.#headers.filter(([each]) => each === key).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  }

  getHeader(name: string): string | undefined {
    return this.get(name);
  }

  removeHeader(name: string): this {
    this.#remove(name.toLowerCase());
    return this;
  }

  /** Sets the content type by a name (`json`, `html`, …) or as it stands. */
  type(type: string): this {
    return this.set("content-type", type.includes("/") ? type : (TYPES[type.replace(/^\./, "")] ?? BYTES));
  }

  /** Answers with a value as JSON.
   *  @throws TypeError for what JSON cannot hold, before anything is sent */
  json(body: unknown): this {
    const text = JSON.stringify(body) ?? "";
    if (!this.#has("content-type")) this.#headers.push(JSON_TYPE);
    return this.#finish(text);
  }

  /** Answers with text (HTML unless a type is set), bytes, or anything else as JSON. */
  send(body?: unknown): this {
    if (body === undefined || body === null) return this.#finish(undefined);
    if (typeof body === "string") {
      if (!this.#has("content-type")) this.#headers.push(HTML_TYPE);
      return this.#finish(body);
    }
    if (body instanceof Uint8Array) {
      if (!this.#has("content-type")) this.#headers.push(BYTES_TYPE);
      return this.#finish(bytesOf(body));
    }
    return this.json(body);
  }

  /** Completes the answer; a last piece may come along. */
  end(chunk?: string | Uint8Array): this {
    if (!this.#headersSent)
      return this.#finish(chunk === undefined || typeof chunk === "string" ? chunk : bytesOf(chunk));
    if (this.#ended) return this.#twice();
    this.#ended = true;
    const output = this.#call.output;
    if (chunk !== undefined && chunk.length > 0) void output?.write(bytesOf(chunk));
    output?.end();
    return this;
  }

  /** Sends a piece of the body; the first one sends the status and the headers. Await it: it resolves when there is room for
   *  more, to false when nobody reads on. At most a window (256 KiB) waits here when every piece is awaited. */
  write(chunk: string | Uint8Array): Promise<boolean> {
    if (this.#ended) {
      this.#twice();
      return Promise.resolve(false);
    }
    if (this.#headersSent) return this.#call.output?.write(bytesOf(chunk)) ?? Promise.resolve(this.#bodiless());
    this.#check();
    this.#headersSent = true;
    if (this.#bodiless()) {
      this.#call.reply(this.#status, this.#headers, undefined, false);
    } else if (!this.#call.reply(this.#status, this.#headers, bytesOf(chunk), true)) {
      this.#ended = true;
      return Promise.resolve(false);
    }
    // What did not fit the first frame waits for credit: an empty piece tells when it left.
    return this.#call.output?.write(NOTHING) ?? Promise.resolve(this.#call.live);
  }

  /** Sends status and headers, and the whole body: in one frame, or the rest of it in chunks. */
  #finish(body: string | Buffer | undefined): this {
    if (this.#headersSent) return this.#twice();
    this.#check();
    this.#headersSent = true;
    this.#ended = true;
    const bytes = body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    const large = bytes > limits.attachment_bytes_max;
    if (this.#status === 204 || this.#status === 304) body = undefined;
    else if (large && this.#call.params.method === "HEAD") {
      // No chunks for an answer without a body. A small body goes along: the broker tells its length and drops it.
      body = undefined;
    } else if (large) {
      this.#remove("content-length");
      this.#headers.push(["content-length", String(bytes)]);
      this.#call.reply(this.#status, this.#headers, body, true);
      this.#call.output?.end();
      return this;
    }
    this.#call.reply(this.#status, this.#headers, body, false);
    return this;
  }

  #bodiless(): boolean {
    return this.#call.params.method === "HEAD" || this.#status === 204 || this.#status === 304;
  }

  /** The broker would refuse such an answer as a whole (P-34), and the handler never learn why. */
  #check(): void {
    const headers = this.#headers;
    if (headers.length <= 8) return;
    const bytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    if (headers.length > limits.reply_headers_max || bytes > limits.reply_header_bytes_max) {
      throw new HeraError("reply_too_large", `${headers.length} headers of ${bytes} bytes exceed the limits`);
    }
  }

  #twice(): this {
    if (!this.#told && this.#call.live) {
      this.#told = true;
      const { method, path, request_id } = this.#call.params;
      const text = `${method} ${path} (${request_id}) was answered a second time; the second answer was dropped`;
      this.#host.answeredTwice(new HeraError("answered_twice", text));
    }
    return this;
  }

  #has(key: string): boolean {
    for (const header of this.#headers) if (header[0] === key) return true;
    return false;
  }

  #remove(key: string): void {
    if (this.#has(key)) this.#headers = this.#headers.filter(([each]) => each !== key);
  }
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

function headerName(name: string): string {
  if (!TOKEN.test(name)) throw new TypeError(`header name ${JSON.stringify(name)} is no token`);
  return name.toLowerCase();
}

function headerValue(name: string, value: string | number): string {
  const text = String(value);
  if (!VALUE.test(text)) throw new TypeError(`value of header ${name} holds control characters or is not Latin-1`);
  return text;
}

/** As Express: text types say that they are utf-8. */
function withCharset(type: string): string {
  return /^(?:text\/[^;]*|application\/(?:json|javascript))$/i.test(type) ? `${type}; charset=utf-8` : type;
}

function bytesOf(chunk: string | Uint8Array): Buffer {
  if (typeof chunk === "string") return Buffer.from(chunk);
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

const BYTES = "application/octet-stream";
const JSON_TYPE: [string, string] = ["content-type", "application/json; charset=utf-8"];
const HTML_TYPE: [string, string] = ["content-type", "text/html; charset=utf-8"];
const BYTES_TYPE: [string, string] = ["content-type", BYTES];
const NOTHING = Buffer.alloc(0);
const TYPES: Record<string, string> = Object.assign(Object.create(null), {
  json: "application/json",
  html: "text/html",
  htm: "text/html",
  text: "text/plain",
  txt: "text/plain",
  xml: "application/xml",
  css: "text/css",
  js: "text/javascript",
  csv: "text/csv",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  pdf: "application/pdf",
  bin: BYTES,
});

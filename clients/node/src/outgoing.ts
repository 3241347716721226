/** An answer as Node's `http.ServerResponse`: what middleware made for Node calls, patches and listens to.
 *
 *  Nothing leaves before the first `write`, `flushHeaders` or `end`; an answer that ends with its first piece is one frame.
 *  As with Node, everything goes through the methods as they stand on the object, so that middleware may replace them.
 */
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from "node:http";
import { Stream } from "node:stream";
import type { Call } from "./call.js";
import type { CallSocket } from "./call-socket.js";
import { HeraError } from "./errors.js";
import { makeWritable } from "./incoming.js";
import { limits } from "./limits.js";
import type { Written } from "./stream.js";

/** What a response tells the app. */
export interface ResponseHost {
  /** Something was sent or set after the answer; told once for each call. */
  late(error: HeraError): void;
}

type Callback = (error?: Error | null) => void;

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: a Stream by its prototype, see below.
export class Outgoing {
  readonly #call: Call;
  readonly #host: ResponseHost;
  /** The request's stand-in for a socket. */
  readonly #socketOf: () => CallSocket;
  /** Lower-case names, and the values as they were set. */
  readonly #names: string[] = [];
  readonly #values: OutgoingHttpHeader[] = [];
  #ownTag: string | undefined;
  #headWritten = false;
  #replied = false;
  #ended = false;
  #finished = false;
  #closed = false;
  #told = false;

  /** The status that the head will carry: 200 to 599. */
  statusCode = 200;
  /** HTTP/1.1's reason phrase; the broker's own is sent. */
  statusMessage: string | undefined;
  sendDate = true;
  /** Whether it is over: told before 'close'. */
  destroyed = false;
  /** @internal A handler runs on the stack: what goes wrong may be thrown to it. */
  inHandler = false;

  constructor(call: Call, host: ResponseHost, socketOf: () => CallSocket) {
    this.#call = call;
    this.#host = host;
    this.#socketOf = socketOf;
  }

  /** Whether the status and the headers are settled, so that they cannot be changed any more. */
  get headersSent(): boolean {
    return this.#headWritten;
  }

  /** Whether `end` was called. */
  get writableEnded(): boolean {
    return this.#ended;
  }

  get finished(): boolean {
    return this.#ended;
  }

  /** Whether all of it went out; of an answer in one frame that is so when `end` returns. */
  get writableFinished(): boolean {
    return this.#finished || (this.#ended && !this.#call.output);
  }

  /** Always, as with Node: `writableEnded` tells whether it still takes anything. */
  get writable(): boolean {
    return true;
  }

  /** Bytes that wait because nobody takes them. */
  get writableLength(): number {
    return this.#call.output?.queued ?? 0;
  }

  get writableHighWaterMark(): number {
    return limits.stream_window_bytes;
  }

  get writableNeedDrain(): boolean {
    return this.writableLength >= limits.stream_window_bytes;
  }

  get writableObjectMode(): boolean {
    return false;
  }

  get writableCorked(): number {
    return 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get errored(): null {
    return null;
  }

  get chunkedEncoding(): boolean {
    return false;
  }

  get shouldKeepAlive(): boolean {
    return true;
  }

  get socket(): CallSocket {
    return this.#socketOf();
  }

  get connection(): CallSocket {
    return this.socket;
  }

  /** What Node's own code and old middleware ask for; there is no text of a head here. */
  get _header(): string | null {
    return this.#headWritten ? `HTTP/1.1 ${this.statusCode}\r\n\r\n` : null;
  }

  // ---- headers

  /** Sets a header; a list gives one header for each value.
   *  @throws TypeError with Node's codes: ERR_INVALID_HTTP_TOKEN, ERR_HTTP_INVALID_HEADER_VALUE, ERR_INVALID_CHAR */
  setHeader(name: string, value: number | string | readonly string[]): this {
    if (this.#headWritten) return this.#late();
    const wrong = badHeader(name, value);
    if (wrong) return this.refuse(wrong);
    const key = name.toLowerCase();
    const checked = typeof value === "object" ? value.map(String) : value;
    const at = this.#names.indexOf(key);
    if (at >= 0) {
      this.#values[at] = checked;
    } else {
      this.#names.push(key);
      this.#values.push(checked);
    }
    return this;
  }

  setHeaders(headers: Headers | Map<string, number | string | readonly string[]>): this {
    for (const [name, value] of headers) this.setHeader(name, value);
    return this;
  }

  /** Adds values to those that the header has. */
  appendHeader(name: string, value: string | readonly string[]): this {
    const before = this.getHeader(name);
    const all = before === undefined ? [] : Array.isArray(before) ? before : [String(before)];
    return this.setHeader(name, [...all, ...(Array.isArray(value) ? value : [value as string])]);
  }

  getHeader(name: string): OutgoingHttpHeader | undefined {
    const at = this.#names.indexOf(name.toLowerCase());
    return at < 0 ? undefined : this.#values[at];
  }

  getHeaders(): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = Object.create(null);
    this.#names.forEach((name, i) => {
      headers[name] = this.#values[i];
    });
    return headers;
  }

  getHeaderNames(): string[] {
    return [...this.#names];
  }

  getRawHeaderNames(): string[] {
    return [...this.#names];
  }

  hasHeader(name: string): boolean {
    return this.#names.includes(name.toLowerCase());
  }

  removeHeader(name: string): this {
    if (this.#headWritten) return this.#late();
    const at = this.#names.indexOf(name.toLowerCase());
    if (at >= 0) {
      this.#names.splice(at, 1);
      this.#values.splice(at, 1);
    }
    return this;
  }

  // ---- the answer

  /** Settles the status and headers; they go out with the first piece, or the end.
   *  @throws RangeError ERR_HTTP_INVALID_STATUS_CODE for a status that is not 200 to 599 */
  writeHead(
    status: number,
    reason?: string | OutgoingHttpHeaders | readonly OutgoingHttpHeader[],
    headers?: OutgoingHttpHeaders | readonly OutgoingHttpHeader[],
  ): this {
    if (this.#headWritten) return this.#late();
    if (typeof reason === "string") this.statusMessage = reason;
    const wrong = badStatus(status);
    if (wrong) return this.refuse(wrong);
    this.statusCode = status;
    this.#setAll(typeof reason === "string" ? headers : reason);
    const tooLarge = this.#tooLarge();
    if (tooLarge) return this.refuse(tooLarge);
    this.#headWritten = true;
    return this;
  }

  /** Sends the head now: whoever waits for events sees that they will come. */
  flushHeaders(): void {
    if (!this.#headWritten) this.writeHead(this.statusCode);
    if (this.#headWritten) this.#begin(NOTHING);
  }

  /** Sends a piece of the body; gives whether it should be followed by more before 'drain'. At most a window (256 KiB) waits
   *  here when that is heeded.
   *  @param written runs when it went out */
  write(chunk: string | Uint8Array, encoding?: BufferEncoding | Callback | null, written?: Callback): boolean {
    if (typeof encoding === "function") {
      written = encoding;
      encoding = undefined;
    }
    if (this.#ended) {
      this.#late();
      if (written) process.nextTick(written, new HeraError("answered_twice", "the answer is complete"));
      return false;
    }
    const wrong = badPiece(chunk);
    if (wrong) {
      this.refuse(wrong);
      return false;
    }
    const bytes = bytesOf(chunk, encoding ?? undefined);
    if (!this.#headWritten) this.writeHead(this.statusCode);
    if (!this.#headWritten) return false;
    if (!this.#replied) {
      if (!this.#begin(bytes)) return false;
      if (!this.#call.output) {
        if (written) process.nextTick(written, null);
        return true;
      }
      // What did not fit the first frame waits for credit, and so does who wants to know that it went out.
      return this.#call.output.write(NOTHING, written as Written | undefined);
    }
    if (!this.#call.output) {
      if (written) process.nextTick(written, null);
      return true;
    }
    return this.#call.output.write(bytes, written as Written | undefined);
  }

  /** Completes the answer; a last piece may come along. */
  end(
    chunk?: string | Uint8Array | Callback | null,
    encoding?: BufferEncoding | Callback | null,
    done?: Callback,
  ): this {
    if (typeof chunk === "function") {
      done = chunk;
      chunk = undefined;
    } else if (typeof encoding === "function") {
      done = encoding;
      encoding = undefined;
    }
    if (this.#ended) return this.#late(done);
    const wrong = chunk === undefined || chunk === null ? undefined : badPiece(chunk);
    if (wrong) return this.refuse(wrong);
    const body =
      chunk === undefined || chunk === null || chunk.length === 0
        ? undefined
        : pieceOf(chunk, encoding as BufferEncoding | null | undefined);
    if (!this.#headWritten) this.#endWithHead(body);
    // Refused: the error handlers answer.
    if (!this.#headWritten) return this;
    if (done) this.once("finish", done);
    this.#ended = true;
    if (!this.#replied) {
      this.#replyWhole(body);
    } else {
      const { output } = this.#call;
      if (body !== undefined) output?.write(bytesOf(body));
      output?.end();
    }
    if (!this.#call.output) this.#afterEnd();
    return this;
  }

  /** Writes happen once per turn anyway. */
  cork(): void {}

  uncork(): void {}

  setTimeout(_milliseconds: number, _callback?: () => void): this {
    return this;
  }

  /** Cuts the answer: who reads it sees that it is not whole. */
  destroy(error?: Error): this {
    this.socket.destroy(error);
    this.#close();
    return this;
  }

  pipe<T extends NodeJS.WritableStream>(_to: T): T {
    throw new HeraError("bad_option", "a response is written to, it cannot be read");
  }

  on(event: string | symbol, listener: (...args: never[]) => void): this {
    Stream.prototype.on.call(this, event, listener as (...args: unknown[]) => void);
    // Who listens after the end, as middleware that logs may, hears of it as well.
    if (this.#ended && (event === "finish" || event === "close") && !this.#call.output) this.#afterEnd();
    return this;
  }

  /** Implicitly, as Node names it; some middleware calls it by that name. */
  _implicitHeader(): void {
    this.writeHead(this.statusCode);
  }

  /** @internal The caller left, or the connection is gone. */
  gone(): void {
    this.#close();
  }

  /** @internal Sets a header whose name is lower case and whose value is known to be good. */
  put(name: string, value: string | number): void {
    const at = this.#names.indexOf(name);
    if (at >= 0) {
      this.#values[at] = value;
    } else {
      this.#names.push(name);
      this.#values.push(value);
    }
  }

  /** @internal Sets an ETag that Hera made: its quotes are all in it that needs an escape. */
  putTag(tag: string): void {
    this.#ownTag = tag;
    this.put("etag", tag);
  }

  /** What cannot be sent is thrown; a subclass may know better where nobody could catch it. */
  protected refuse(error: Error): this {
    throw error;
  }

  /** Settles the head of an answer that is complete with `body`, whose length is known by that. */
  #endWithHead(body: string | Buffer | undefined): void {
    if (this.#call.params.method === "HEAD" && body !== undefined && !this.hasHeader("content-length")) {
      this.setHeader("content-length", lengthOf(body));
    }
    this.writeHead(this.statusCode);
  }

  /** Sends the head and the first piece of a body that goes on; false: nobody wants it. */
  #begin(first: Buffer): boolean {
    if (this.#replied) return true;
    this.#replied = true;
    if (this.#bodiless()) return this.#call.reply(this.statusCode, this.#headersJson(true), undefined, false);
    if (!this.#call.reply(this.statusCode, this.#headersJson(true), first, true)) return false;
    const { output } = this.#call;
    if (!output) return true;
    output.onRoom = () => this.emit("drain");
    output.onOver = (whole) => {
      if (whole) this.#finish();
      else this.#close();
    };
    return true;
  }

  /** Sends status, headers and the whole body: in one frame, or the rest of it in chunks. */
  #replyWhole(body: string | Buffer | undefined): void {
    const bodiless = this.#bodiless();
    if (!bodiless && body !== undefined && body.length > COPIES_MAX && lengthOf(body) > limits.attachment_bytes_max) {
      const at = this.#names.indexOf("content-length");
      if (at >= 0) this.#names.splice(at, 1) && this.#values.splice(at, 1);
      this.#names.push("content-length");
      this.#values.push(lengthOf(body));
      this.#begin(bytesOf(body));
      this.#call.output?.end();
      return;
    }
    this.#replied = true;
    this.#call.reply(this.statusCode, this.#headersJson(bodiless), bodiless ? undefined : body, false);
  }

  #bodiless(): boolean {
    const { statusCode } = this;
    return statusCode === 204 || statusCode === 304 || this.#call.params.method === "HEAD";
  }

  /** The pairs as the wire wants them. The length of a body that goes along whole is the broker's to say (P-34). */
  #headersJson(withLength: boolean): string {
    let json = "[";
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i] as string;
      if (!withLength && name === "content-length") continue;
      const value = this.#values[i] as OutgoingHttpHeader;
      if (value === this.#ownTag) json += `${json.length === 1 ? "" : ","}["${name}",${quotedTag(this.#ownTag)}]`;
      else if (typeof value === "object") for (const each of value) json += pair(json, name, each);
      else json += pair(json, name, String(value));
    }
    return `${json}]`;
  }

  #setAll(headers: OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | undefined): void {
    if (headers === undefined || headers === null) return;
    if (!Array.isArray(headers)) {
      for (const [name, value] of Object.entries(headers)) if (value !== undefined) this.setHeader(name, value);
      return;
    }
    const flat = Array.isArray(headers[0]) ? headers.flat() : headers;
    for (let i = 0; i + 1 < flat.length; i += 2) this.setHeader(String(flat[i]), flat[i + 1] as string);
  }

  /** The broker would refuse such an answer as a whole (P-34), and the handler never learn why. */
  #tooLarge(): HeraError | undefined {
    let count = 0;
    let bytes = 0;
    for (let i = 0; i < this.#names.length; i++) {
      const value = this.#values[i] as OutgoingHttpHeader;
      const name = this.#names[i] as string;
      const values = typeof value === "object" ? value : [value];
      count += values.length;
      for (const each of values) bytes += name.length + String(each).length;
    }
    if (count <= limits.reply_headers_max && bytes <= limits.reply_header_bytes_max) return undefined;
    return new HeraError("reply_too_large", `${count} headers of ${bytes} bytes exceed the limits`);
  }

  #late(done?: Callback): this {
    if (!this.#told && this.#call.live) {
      this.#told = true;
      const { method, path, request_id } = this.#call.params;
      const text = `${method} ${path} (${request_id}) was answered a second time; the second answer was dropped`;
      this.#host.late(new HeraError("answered_twice", text));
    }
    if (done) process.nextTick(done, new HeraError("answered_twice", "the answer is complete"));
    return this;
  }

  /** Tells those who listen that the answer is out. Most answers have nobody who listens. */
  #afterEnd(): void {
    if (this.listenerCount("finish") === 0 && this.listenerCount("close") === 0) return;
    process.nextTick(finish, this);
  }

  /** @internal */
  finishNow(): void {
    this.#finish();
  }

  /** @internal */
  closeNow(): void {
    this.#close();
  }

  #finish(): void {
    if (this.#closed) return;
    if (this.#finished) return;
    this.#finished = true;
    this.emit("finish");
    process.nextTick(close, this);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.destroyed = true;
    this.emit("close");
  }
}

export interface Outgoing extends Stream {}

// Like Node's own, a legacy Stream: events and a name. Most answers have no listener, so the table of them is made with the first.
Object.setPrototypeOf(Outgoing.prototype, Stream.prototype);

makeWritable(Outgoing.prototype, [
  "chunkedEncoding",
  "connection",
  "finished",
  "shouldKeepAlive",
  "socket",
  "writable",
]);

function finish(res: Outgoing): void {
  res.finishNow();
}

function close(res: Outgoing): void {
  res.closeNow();
}

function pair(json: string, name: string, value: string): string {
  const comma = json.length === 1 ? "" : ",";
  return ESCAPED.test(value) ? `${comma}["${name}",${JSON.stringify(value)}]` : `${comma}["${name}","${value}"]`;
}

/** As JSON.stringify gives it, which is dear for a text that nearly every answer has. */
function quotedTag(tag: string): string {
  return tag.startsWith("W/") ? `"W/\\"${tag.slice(3, -1)}\\""` : `"\\"${tag.slice(1, -1)}\\""`;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
/** What cannot stand in a JSON string as it is; a name of a header is a token, in which nothing needs it. */
const ESCAPED = /["\\\t]/;

function badHeader(name: string, value: number | string | readonly string[]): Error | undefined {
  if (typeof name !== "string" || !TOKEN.test(name)) {
    return coded(
      TypeError,
      "ERR_INVALID_HTTP_TOKEN",
      `Header name must be a valid HTTP token [${JSON.stringify(name)}]`,
    );
  }
  if (typeof value === "object" && value !== null) {
    for (const each of value) {
      const wrong = badHeader(name, each);
      if (wrong) return wrong;
    }
    return undefined;
  }
  if (value === undefined || value === null) {
    return coded(TypeError, "ERR_HTTP_INVALID_HEADER_VALUE", `Invalid value "${value}" for header "${name}"`);
  }
  if (!BAD_VALUE.test(String(value))) return undefined;
  return coded(TypeError, "ERR_INVALID_CHAR", `Invalid character in header content [${JSON.stringify(name)}]`);
}

function badStatus(status: number): Error | undefined {
  if (Number.isInteger(status) && status >= 200 && status <= 599) return undefined;
  return coded(
    RangeError,
    "ERR_HTTP_INVALID_STATUS_CODE",
    `status ${String(status)} is not an integer from 200 to 599`,
  );
}

function badPiece(chunk: unknown): Error | undefined {
  if (typeof chunk === "string" || ArrayBuffer.isView(chunk)) return undefined;
  if (chunk === null) return coded(TypeError, "ERR_STREAM_NULL_VALUES", "null is no piece of an answer");
  return coded(TypeError, "ERR_INVALID_ARG_TYPE", `a piece of an answer is text or bytes, not ${typeof chunk}`);
}

/** An error with a code of Node's, which middleware decides by. */
function coded(type: new (message: string) => Error, code: string, message: string): Error {
  return Object.assign(new type(message), { code });
}

/** Text stays text where that is what the frame wants anyway. */
function pieceOf(chunk: string | Uint8Array, encoding: BufferEncoding | null | undefined): string | Buffer {
  if (typeof chunk !== "string") return bytesOf(chunk);
  return !encoding || encoding === "utf8" || encoding === "utf-8" ? chunk : Buffer.from(chunk, encoding);
}

function bytesOf(chunk: string | Uint8Array, encoding?: BufferEncoding): Buffer {
  if (typeof chunk === "string") return Buffer.from(chunk, encoding);
  if (Buffer.isBuffer(chunk)) return chunk;
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

function lengthOf(body: string | Buffer): number {
  return typeof body === "string" ? Buffer.byteLength(body) : body.length;
}

/** No text shorter than this, in code units, is over a frame's attachment in bytes. */
const COPIES_MAX = limits.attachment_bytes_max / 3;
const NOTHING = Buffer.alloc(0);

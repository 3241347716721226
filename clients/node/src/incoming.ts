/** A call as Node's `http.IncomingMessage`: what middleware made for Node finds where it looks for it. */
import type { IncomingHttpHeaders } from "node:http";
import { parseBody } from "./body.js";
import type { Call, Caller, CallListener } from "./call.js";
import { CallSocket } from "./call-socket.js";
import type { HeraError } from "./errors.js";
import { BodyStream } from "./stream.js";

/** A stream of the body's bytes; nearly everything else is made when it is first asked for. */
export class Incoming extends BodyStream implements CallListener {
  readonly #call: Call;
  readonly #streamed: boolean;
  #headers: IncomingHttpHeaders | undefined;
  #rawHeaders: string[] | undefined;
  #socket: CallSocket | undefined;
  /** Whether the caller left before the answer was there. */
  aborted = false;
  /** Middleware that overrides the method writes here. */
  method: string;

  /** @param streamed the handler reads the body itself, as it comes */
  constructor(call: Call, streamed: boolean) {
    super(call.attachment, streamed ? call.input : undefined);
    this.#call = call;
    this.#streamed = streamed;
    this.method = call.params.method;
    call.listener = this;
  }

  get httpVersion(): string {
    return "1.1";
  }

  get httpVersionMajor(): number {
    return 1;
  }

  get httpVersionMinor(): number {
    return 1;
  }

  /** Whether the whole body is here. */
  get complete(): boolean {
    return !this.#streamed || (this.#call.input?.ended ?? true);
  }

  /** By lower-case name; a header that stands more than once is joined as Node does. Without prototype. */
  get headers(): IncomingHttpHeaders {
    this.#headers ??= this.#readHeaders();
    return this.#headers;
  }

  set headers(headers: IncomingHttpHeaders) {
    this.#headers = headers;
  }

  /** By lower-case name, with a list of values for each. Without prototype. */
  get headersDistinct(): NodeJS.Dict<string[]> {
    const headers: NodeJS.Dict<string[]> = Object.create(null);
    for (const [name, value] of this.#call.params.headers ?? []) headers[name] = [...(headers[name] ?? []), value];
    return headers;
  }

  /** Names and values by turns, in order. */
  get rawHeaders(): string[] {
    this.#rawHeaders ??= (this.#call.params.headers ?? []).flat();
    return this.#rawHeaders;
  }

  /** There are none: they end at the broker. */
  get trailers(): Record<string, string> {
    return Object.create(null) as Record<string, string>;
  }

  get trailersDistinct(): NodeJS.Dict<string[]> {
    return Object.create(null) as NodeJS.Dict<string[]>;
  }

  get rawTrailers(): string[] {
    return [];
  }

  /** A stand-in: it knows the caller's address, and destroying it cuts the answer. */
  get socket(): CallSocket {
    this.#socket ??= new CallSocket(this.#call);
    return this.#socket;
  }

  get connection(): CallSocket {
    return this.socket;
  }

  /** The request id, the same in every log. */
  get id(): string {
    return this.#call.params.request_id;
  }

  /** Who calls: the name and the labels of its token, its address; for a remote call the calling service. */
  get caller(): Caller {
    return this.#call.params.caller ?? ANONYMOUS;
  }

  /** The raw request target, as the caller sent it. */
  get originalUrl(): string {
    return this.#call.params.target;
  }

  /** Aborts when the caller left, the deadline passed, or the broker's connection ended. */
  get signal(): AbortSignal {
    return this.#call.signal;
  }

  /** When the answer has to be there. */
  get deadline(): Date {
    return new Date(Date.now() + this.#call.deadline - performance.now());
  }

  /** The body as it came, where the endpoint does not stream it: what a signature over the body is checked against. */
  get rawBody(): Buffer | undefined {
    return this.#streamed ? undefined : this.#call.attachment;
  }

  /** Nothing waits on the network here; there for middleware that sets a timeout. */
  setTimeout(_milliseconds: number, _callback?: () => void): this {
    return this;
  }

  /** @internal One header by its lower-case name, without making all of them. */
  rawHeader(name: string): string | undefined {
    return this.#call.header(name);
  }

  /** @internal The caller's address, whatever middleware made of `caller`. */
  get remoteAddress(): string {
    return this.#call.params.caller?.ip ?? "";
  }

  /** @internal The raw query without `?`; undefined where there is none. */
  get rawQuery(): string | undefined {
    return this.#call.params.query ?? undefined;
  }

  /** @internal What remote calls are made within. */
  get within(): Call {
    return this.#call;
  }

  /** @internal */
  get canonicalPath(): string {
    return this.#call.params.path;
  }

  /** @internal Whether the path that was sent ends with a slash, which its canonical form does not. */
  get trailingSlash(): boolean {
    const { target, path } = this.#call.params;
    const end = target.indexOf("?");
    return path !== "/" && target.charCodeAt((end < 0 ? target.length : end) - 1) === SLASH;
  }

  /** @internal Parses the body, so that a bad one fails before any handler runs.
   *  @throws HeraError `bad_body`, `unsupported_charset`, `unsupported_encoding` or `body_too_large` */
  parsedBody(most: number): unknown {
    if (this.#streamed || this.#call.attachment.length === 0) return undefined;
    return parseBody(this.rawHeader("content-type"), this.rawHeader("content-encoding"), this.#call.attachment, most);
  }

  gone(reason: HeraError): void {
    this.aborted = true;
    this.#socket?.close(reason);
    this.emit("aborted");
    this.destroy(reason);
  }

  #readHeaders(): IncomingHttpHeaders {
    const headers = joinHeaders(this.#call.params.headers ?? []);
    // A body that came in chunks has no length in its head; by now it has one, or is still on its way.
    if (headers["content-length"] === undefined) {
      if (this.#streamed ? this.#call.input : this.#call.params.more) headers["transfer-encoding"] = "chunked";
      else if (this.#call.attachment.length > 0) headers["content-length"] = String(this.#call.attachment.length);
    }
    return headers;
  }
}

/** Makes getters give way to what is written to them: middleware puts values of its own under such names, as it can on Node's and
 *  on Express's objects. */
export function makeWritable(prototype: object, names: readonly string[]): void {
  for (const name of names) {
    Object.defineProperty(prototype, name, {
      ...Object.getOwnPropertyDescriptor(prototype, name),
      set(this: object, value: unknown) {
        Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
      },
    });
  }
}

makeWritable(Incoming.prototype, [
  "caller",
  "complete",
  "connection",
  "deadline",
  "headersDistinct",
  "httpVersion",
  "httpVersionMajor",
  "httpVersionMinor",
  "id",
  "originalUrl",
  "rawBody",
  "rawHeaders",
  "rawTrailers",
  "signal",
  "socket",
  "trailers",
  "trailersDistinct",
]);

const ANONYMOUS: Caller = { token: null, labels: {}, ip: "" };
const SLASH = 0x2f;

/** As Node's http: some headers may stand once and the first counts, set-cookie is a list, cookies are joined by `; `, the rest by `, `. */
export function joinHeaders(pairs: [string, string][]): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of pairs) {
    const known = headers[name];
    if (name === "set-cookie") headers[name] = known === undefined ? [value] : [...known, value];
    else if (known === undefined) headers[name] = value;
    else if (!ONCE.has(name)) headers[name] = `${known as string}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return headers;
}

const ONCE = new Set([
  "age",
  "authorization",
  "content-length",
  "content-type",
  "etag",
  "expires",
  "from",
  "host",
  "if-modified-since",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "referer",
  "retry-after",
  "server",
  "user-agent",
]);

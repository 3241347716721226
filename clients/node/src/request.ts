/** The request a handler sees; nearly everything is made when it is first asked for. */
import type { Readable } from "node:stream";
import { type Fields, parseBody, parseFields } from "./body.js";
import type { Call, Caller } from "./call.js";
import type { Params } from "./pattern.js";

export class Request {
  readonly #call: Call;
  readonly #streamed: boolean;
  readonly canonicalPath: string;
  /** Parameters of the layer that runs now. */
  params: Params = Object.create(null);
  /** What the layer's own path took off the front; empty outside `use(path, …)`. */
  baseUrl = "";
  #path: string | undefined;
  #url: string | undefined;
  #headers: Record<string, string> | undefined;
  #rawHeaders: string[] | undefined;
  #query: Fields | undefined;
  #body: unknown;
  #bodyRead = false;

  /** @param streamed the handler reads `stream` itself, and there is no `body` */
  constructor(call: Call, streamed: boolean) {
    this.#call = call;
    this.#streamed = streamed;
    this.canonicalPath = call.params.path;
  }

  get method(): string {
    return this.#call.params.method;
  }

  /** The raw request target, as the caller sent it. */
  get originalUrl(): string {
    return this.#call.params.target;
  }

  /** Canonical path without what `baseUrl` took. */
  get path(): string {
    this.#path ??= this.baseUrl === "" ? this.canonicalPath : this.canonicalPath.slice(this.baseUrl.length) || "/";
    return this.#path;
  }

  /** Path and query; may be set, as middleware does that rewrites. */
  get url(): string {
    const { query } = this.#call.params;
    this.#url ??= typeof query === "string" ? `${this.path}?${query}` : this.path;
    return this.#url;
  }

  set url(url: string) {
    this.#url = url;
  }

  /** The parsed query: text, or a list where a name stands more than once. Without prototype. */
  get query(): Fields {
    this.#query ??= parseFields(this.#call.params.query ?? "");
    return this.#query;
  }

  /** Parsed JSON or form; a Buffer for any other type; undefined where there is none. */
  get body(): unknown {
    if (!this.#bodyRead) this.readBody();
    return this.#body;
  }

  set body(body: unknown) {
    this.#body = body;
    this.#bodyRead = true;
  }

  /** Query, body and path parameters in one; where names meet, the later of these wins. Without prototype. */
  get data(): Record<string, unknown> {
    const data: Record<string, unknown> = Object.create(null);
    merge(data, this.query);
    const { body } = this;
    if (typeof body === "object" && body !== null && !Array.isArray(body) && !Buffer.isBuffer(body)) merge(data, body);
    merge(data, this.params);
    return data;
  }

  /** By lower-case name; a header that stands more than once is joined as Node does. Without prototype. */
  get headers(): Record<string, string> {
    this.#headers ??= joinHeaders(this.#call.params.headers ?? []);
    return this.#headers;
  }

  /** Names and values by turns, in order. */
  get rawHeaders(): string[] {
    this.#rawHeaders ??= (this.#call.params.headers ?? []).flat();
    return this.#rawHeaders;
  }

  get(name: string): string | undefined {
    const wanted = name.toLowerCase();
    if (wanted === "referrer" || wanted === "referer") return this.headers.referrer ?? this.headers.referer;
    return this.headers[wanted];
  }

  header(name: string): string | undefined {
    return this.get(name);
  }

  /** The request id, the same in every log. */
  get id(): string {
    return this.#call.params.request_id;
  }

  get caller(): Caller {
    return this.#call.params.caller ?? ANONYMOUS;
  }

  get ip(): string {
    return this.caller.ip;
  }

  /** Aborts when the caller left, the deadline passed, or the broker's connection ended. */
  get signal(): AbortSignal {
    return this.#call.signal;
  }

  /** When the answer has to be there. */
  get deadline(): Date {
    return new Date(Date.now() + this.#call.deadline - performance.now());
  }

  /** The body as it comes, where the endpoint was declared with `stream: true`; else the whole body in one piece. */
  get stream(): Readable {
    return this.#call.stream;
  }

  /** @internal Parses the body now, so that a bad one fails before any handler runs. */
  readBody(): void {
    this.#bodyRead = true;
    if (this.#streamed) return;
    this.#body = parseBody(contentType(this.#call.params.headers), this.#call.attachment);
  }

  /** @internal Called as each layer begins.
   *  @param base the segments that its path took */
  enter(params: Params, base: string[]): void {
    this.params = params;
    const baseUrl = base.length === 0 ? "" : `/${base.join("/")}`;
    if (baseUrl === this.baseUrl) return;
    this.baseUrl = baseUrl;
    this.#path = undefined;
    this.#url = undefined;
  }
}

const ANONYMOUS: Caller = { token: null, labels: {}, ip: "" };

function merge(into: Record<string, unknown>, from: object): void {
  for (const name of Object.keys(from)) {
    if (name !== "__proto__") into[name] = (from as Record<string, unknown>)[name];
  }
}

function contentType(headers: [string, string][] | undefined): string | undefined {
  if (headers) for (const [name, value] of headers) if (name === "content-type") return value;
  return undefined;
}

/** As Node's http: some headers may stand once and the first counts, cookies are joined by `; `, the rest by `, `. */
function joinHeaders(pairs: [string, string][]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of pairs) {
    const known = headers[name];
    if (known === undefined) headers[name] = value;
    else if (!ONCE.has(name)) headers[name] = `${known}${name === "cookie" ? "; " : ", "}${value}`;
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

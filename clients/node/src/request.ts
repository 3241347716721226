/** The request a handler sees: Express 5's, on top of Node's, and what Hera adds. */
import { isIP } from "node:net";
import type { Readable } from "node:stream";
import accepts from "accepts";
import fresh from "fresh";
import parseRange from "range-parser";
import typeis from "type-is";
import type { App } from "./app.js";
import type { Fields } from "./body.js";
import type { Call } from "./call.js";
import type { HeraError } from "./errors.js";
import { Incoming, makeWritable } from "./incoming.js";
import type { Next } from "./layer.js";
import type { Params } from "./pattern.js";
import type { RemoteReply } from "./remote-reply.js";
import type { CallOptions } from "./remote-request.js";
import type { Response } from "./response.js";
import type { Route } from "./route.js";

declare global {
  namespace Express {
    /** What middleware adds to a request: packages that speak to Express's types speak to ours by this. */
    interface Request {}
    /** What middleware adds to a response. */
    interface Response {}
  }
}

/** @typeParam P the path parameters */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the merged interface is there for other packages to add to.
export class Request<P = Params> extends Incoming {
  readonly app: App;
  /** The response to this request. */
  res!: Response;
  /** Goes on behind the handler that runs now. */
  next: Next | undefined;
  /** The route that runs, or ran last. */
  route: Route | undefined;
  /** Parameters of the path of the layer that runs now. */
  params = NO_PARAMS as P;
  /** What mounted paths took off the front; empty at the app's own layers. */
  baseUrl = "";
  /** Parsed JSON or form; a Buffer for any other type; undefined where there is none, or the endpoint streams it. */
  body: unknown;
  /** What cookie-parser read. */
  declare cookies?: Record<string, unknown>;
  /** What cookie-parser read and found signed; false where the signature is wrong. */
  declare signedCookies?: Record<string, unknown>;
  /** What cookie-parser signs with. */
  secret: string | undefined;
  #path: string;
  #search: string | undefined;
  #query: Fields | undefined;
  #queryOf: string | null = null;

  constructor(app: App, call: Call, streamed: boolean) {
    super(call, streamed);
    this.app = app;
    this.#path = this.trailingSlash ? `${this.canonicalPath}/` : this.canonicalPath;
    this.#search = this.rawQuery;
  }

  /** The path without what `baseUrl` took. */
  get path(): string {
    return this.#path;
  }

  /** Path and query; set it to send the call to other layers behind this one. */
  get url(): string {
    return this.#search === undefined ? this.#path : `${this.#path}?${this.#search}`;
  }

  set url(url: string) {
    const end = url.indexOf("?");
    this.#path = end < 0 ? url : url.slice(0, end);
    this.#search = end < 0 ? undefined : url.slice(end + 1);
  }

  /** The query, parsed as the setting `query parser` says; what a handler changes in it stays. Without prototype. */
  get query(): Fields {
    const search = this.#search ?? null;
    if (this.#query === undefined || this.#queryOf !== search) {
      this.#query = this.app.parseQuery(search);
      this.#queryOf = search;
    }
    return this.#query;
  }

  /** Query, body and path parameters in one; where names meet, the later of these wins. Without prototype. */
  get data(): Record<string, unknown> {
    const data: Record<string, unknown> = Object.create(null);
    merge(data, this.query);
    const { body } = this;
    if (typeof body === "object" && body !== null && !Array.isArray(body) && !Buffer.isBuffer(body)) merge(data, body);
    merge(data, this.params as object);
    return data;
  }

  /** A header by its name in any case. */
  get(name: "set-cookie"): string[] | undefined;
  get(name: string): string | undefined;
  get(name: string): string | string[] | undefined {
    if (!name) throw new TypeError("name argument is required to req.get");
    if (typeof name !== "string") throw new TypeError("name must be a string to req.get");
    const wanted = name.toLowerCase();
    if (wanted === "referrer" || wanted === "referer") {
      return (this.headers.referrer as string | undefined) ?? this.headers.referer;
    }
    return this.headers[wanted];
  }

  header(name: "set-cookie"): string[] | undefined;
  header(name: string): string | undefined;
  header(name: string): string | string[] | undefined {
    return this.get(name);
  }

  /** The best of these types for the `Accept` header, by extension or MIME type; false where none will do. */
  accepts(): string[];
  accepts(...types: (string | readonly string[])[]): string | false;
  accepts(...types: (string | readonly string[])[]): string | string[] | false {
    return accepts(this).types(types.flat());
  }

  acceptsEncodings(): string[];
  acceptsEncodings(...encodings: (string | readonly string[])[]): string | false;
  acceptsEncodings(...encodings: (string | readonly string[])[]): string | string[] | false {
    return accepts(this).encodings(encodings.flat());
  }

  acceptsCharsets(): string[];
  acceptsCharsets(...charsets: (string | readonly string[])[]): string | false;
  acceptsCharsets(...charsets: (string | readonly string[])[]): string | string[] | false {
    return accepts(this).charsets(charsets.flat());
  }

  acceptsLanguages(): string[];
  acceptsLanguages(...languages: (string | readonly string[])[]): string | false;
  acceptsLanguages(...languages: (string | readonly string[])[]): string | string[] | false {
    return accepts(this).languages(languages.flat());
  }

  /** Which of these types the body has; false where none, null where there is no body. */
  is(...types: (string | readonly string[])[]): string | false | null {
    return typeis(this, types.flat());
  }

  /** The ranges that are asked for; -1: not satisfiable, -2: malformed, undefined: none. */
  range(
    size: number,
    options?: { combine?: boolean },
  ): ({ start: number; end: number }[] & { type: string }) | -1 | -2 | undefined {
    const range = this.get("range");
    return range === undefined ? undefined : parseRange(size, range, options);
  }

  /** The caller's address, as the broker knows it. */
  get ip(): string {
    return this.remoteAddress;
  }

  /** The addresses on the caller's way, farthest first, where a peer that the broker trusts told them. */
  get ips(): string[] {
    const forwarded = this.get("x-forwarded-for");
    return forwarded === undefined ? [] : forwarded.split(",").map((each) => each.trim());
  }

  /** `https` where a peer that the broker trusts says so. */
  get protocol(): string {
    const forwarded = this.rawHeader("x-forwarded-proto");
    return forwarded === undefined ? "http" : (forwarded.split(",")[0] as string).trim();
  }

  get secure(): boolean {
    return this.protocol === "https";
  }

  /** The host that was asked for, with its port. */
  get host(): string | undefined {
    const forwarded = this.get("x-forwarded-host")?.split(",")[0]?.trimEnd();
    return (forwarded || this.get("host")) ?? undefined;
  }

  get hostname(): string | undefined {
    const { host } = this;
    if (!host) return undefined;
    const end = host.indexOf(":", host.startsWith("[") ? host.indexOf("]") + 1 : 0);
    return end < 0 ? host : host.slice(0, end);
  }

  get subdomains(): string[] {
    const { hostname } = this;
    if (!hostname) return [];
    const parts = isIP(hostname) ? [hostname] : hostname.split(".").reverse();
    return parts.slice(this.app.set("subdomain offset") as number);
  }

  /** Whether what the caller has in its cache is what the response says it would get. */
  get fresh(): boolean {
    const { method, res } = this;
    if (method !== "GET" && method !== "HEAD" && method !== "QUERY") return false;
    // Most calls ask for no such thing, and need not have their headers gathered for it.
    if (this.rawHeader("if-none-match") === undefined && this.rawHeader("if-modified-since") === undefined)
      return false;
    const status = res.statusCode;
    if ((status < 200 || status >= 300) && status !== 304) return false;
    return fresh(this.headers, { etag: res.getHeader("etag"), "last-modified": res.getHeader("last-modified") });
  }

  get stale(): boolean {
    return !this.fresh;
  }

  get xhr(): boolean {
    return this.get("x-requested-with")?.toLowerCase() === "xmlhttprequest";
  }

  /** Calls an endpoint of another worker, `GET /0/users/42`. Request id, trace, caller, the time that is left and the chain of calls go
   *  with it; it is cancelled when this call is. Resolves whatever the status.
   *  @throws HeraError where no worker answered, see `executed`; by rejecting */
  call(endpoint: string, options: CallOptions & { stream: true }): Promise<RemoteReply<Readable>>;
  call<Body = unknown>(endpoint: string, options?: CallOptions): Promise<RemoteReply<Body>>;
  call(endpoint: string, options: CallOptions = {}): Promise<RemoteReply> {
    return this.app.callWithin(this.within, endpoint, options);
  }

  override gone(reason: HeraError): void {
    super.gone(reason);
    this.res.gone();
  }

  /** @internal A mounted layer begins: takes `matched` off the front. Gives whether a slash had to be put there. */
  enter(matched: string, parentUrl: string): boolean {
    const rest = this.#path.slice(matched.length);
    const slashAdded = !rest.startsWith("/");
    this.#path = slashAdded ? `/${rest}` : rest;
    this.baseUrl = parentUrl + (matched.endsWith("/") ? matched.slice(0, -1) : matched);
    return slashAdded;
  }

  /** @internal A mounted layer is over: puts back what `enter` took. */
  leave(matched: string, slashAdded: boolean, parentUrl: string): void {
    const inside = slashAdded && (this.#path === "/" || matched.endsWith("/")) ? this.#path.slice(1) : this.#path;
    this.#path = matched + inside;
    this.baseUrl = parentUrl;
  }
}

// biome-ignore lint/correctness/noUnusedVariables: a merged declaration has the parameters of the class.
export interface Request<P> extends Express.Request {}

makeWritable(Request.prototype, ["data"]);

const NO_PARAMS: unknown = Object.freeze(Object.create(null));

function merge(into: Record<string, unknown>, from: object): void {
  for (const name of Object.keys(from)) {
    if (name !== "__proto__") into[name] = (from as Record<string, unknown>)[name];
  }
}

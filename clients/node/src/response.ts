/** The response a handler writes to: Express 5's, on top of Node's. It answers once. */
import { STATUS_CODES } from "node:http";
import { basename, extname, isAbsolute, resolve } from "node:path";
import { create as contentDisposition } from "content-disposition";
import { format as formatType, parse as parseType } from "content-type";
import { serialize } from "cookie";
import { sign } from "cookie-signature";
import encodeUrl from "encodeurl";
import escapeHtml from "escape-html";
import * as mime from "mime-types";
import varyBy from "vary";
import type { App } from "./app.js";
import type { Call } from "./call.js";
import { HeraError } from "./errors.js";
import type { Next } from "./layer.js";
import { Outgoing, type ResponseHost } from "./outgoing.js";
import type { Request } from "./request.js";
import { type SendFileOptions, sendFile } from "./send-file.js";
import { isBuiltIn } from "./settings.js";

export type HeaderValue = string | number | boolean | readonly string[];

/** Options of a cookie, as the package `cookie` takes them. */
export interface CookieOptions {
  /** Milliseconds from now. */
  maxAge?: number | null;
  expires?: Date;
  domain?: string;
  /** Default `/`. */
  path?: string | null;
  httpOnly?: boolean;
  secure?: boolean;
  sameSite?: boolean | "lax" | "strict" | "none";
  priority?: "low" | "medium" | "high";
  partitioned?: boolean;
  /** Signs with `req.secret`, as cookie-parser sets it. */
  signed?: boolean;
  encode?: (value: string) => string;
}

type Formatter = (req: Request, res: Response, next: Next) => unknown;

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the merged interface is there for other packages to add to.
export class Response extends Outgoing {
  readonly req: Request;
  readonly app: App;
  #locals: Record<string, unknown> | undefined;

  constructor(app: App, req: Request, call: Call, host: ResponseHost) {
    super(call, host, () => req.socket);
    this.app = app;
    this.req = req;
    req.res = this;
  }

  /** Values for later handlers of this call. */
  get locals(): Record<string, unknown> {
    this.#locals ??= Object.create(null) as Record<string, unknown>;
    return this.#locals;
  }

  set locals(locals: Record<string, unknown>) {
    this.#locals = locals;
  }

  /** @param code 200 to 599
   *  @throws TypeError or RangeError */
  status(code: number): this {
    if (!Number.isInteger(code)) {
      return this.refuse(
        new TypeError(`Invalid status code: ${JSON.stringify(code)}. Status code must be an integer.`),
      );
    }
    if (code < 200 || code > 599) {
      return this.refuse(new RangeError(`Invalid status code: ${code}. Status code must be 200 to 599.`));
    }
    this.statusCode = code;
    return this;
  }

  /** Sets a header, or several by an object; a content type gets its charset.
   *  @throws TypeError for a name that is no token, and for a value with control characters or beyond Latin-1 */
  set(name: string | Record<string, HeaderValue>, value?: HeaderValue): this {
    if (typeof name !== "string") {
      for (const key of Object.keys(name)) this.set(key, name[key] as HeaderValue);
      return this;
    }
    if (Array.isArray(value)) {
      if (name.toLowerCase() === "content-type") {
        return this.refuse(new TypeError("Content-Type cannot be set to an Array"));
      }
      return this.setHeader(name, value.map(String));
    }
    const text = String(value);
    return this.setHeader(name, name.toLowerCase() === "content-type" ? mime.contentType(text) || text : text);
  }

  header(name: string | Record<string, HeaderValue>, value?: HeaderValue): this {
    return this.set(name, value);
  }

  get(name: string): string | number | string[] | undefined {
    return this.getHeader(name);
  }

  /** Adds a header beside those of the same name. */
  append(name: string, value: string | readonly string[]): this {
    const before = this.get(name);
    if (!before) return this.set(name, value);
    return this.set(name, [...(Array.isArray(before) ? before : [String(before)]), ...[value].flat()]);
  }

  /** Sets the content type by an extension (`json`, `html`, …) or as it stands. */
  type(type: string): this {
    return this.set("Content-Type", type.includes("/") ? type : mime.contentType(type) || "application/octet-stream");
  }

  contentType(type: string): this {
    return this.type(type);
  }

  /** Adds names to the header `Vary`. */
  vary(field: string | string[]): this {
    varyBy(this, field);
    return this;
  }

  /** Adds links, by their relation. */
  links(links: Record<string, string | readonly string[]>): this {
    const before = this.get("Link");
    const each = Object.entries(links).flatMap(([rel, urls]) => [urls].flat().map((url) => `<${url}>; rel="${rel}"`));
    return this.set("Link", (before ? `${before}, ` : "") + each.join(", "));
  }

  location(url: string): this {
    return this.set("Location", encodeUrl(url));
  }

  /** @throws Error for a signed cookie without a secret, TypeError for a name or an option that cannot be */
  cookie(name: string, value: unknown, options: CookieOptions = {}): this {
    const { signed, maxAge, path, ...rest } = options;
    const secret = this.req.secret;
    if (signed && !secret) return this.refuse(new Error('cookieParser("secret") required for signed cookies'));
    let text = typeof value === "object" ? `j:${JSON.stringify(value)}` : String(value);
    if (signed && secret) text = `s:${sign(text, secret)}`;
    const given: Record<string, unknown> = { ...rest, path: path ?? "/" };
    if (maxAge !== undefined && maxAge !== null && !Number.isNaN(Number(maxAge))) {
      given.expires = new Date(Date.now() + Number(maxAge));
      given.maxAge = Math.floor(Number(maxAge) / 1000);
    }
    return this.append("Set-Cookie", serialize(name, text, given));
  }

  /** Makes the caller forget a cookie; path and domain have to be those it was set with. */
  clearCookie(name: string, options: CookieOptions = {}): this {
    const { maxAge: _, ...rest } = options;
    return this.cookie(name, "", { path: "/", ...rest, expires: new Date(1) });
  }

  /** Answers with a value as JSON, by the settings `json spaces`, `json replacer` and `json escape`.
   *  @throws TypeError for what JSON cannot hold, before anything is sent */
  json(body: unknown): this {
    let text: string | undefined;
    try {
      text = this.app.stringify(body);
    } catch (error) {
      return this.refuse(error as Error);
    }
    if (!this.headersSent && !this.hasHeader("content-type")) this.put("content-type", JSON_TYPE);
    return this.send(text);
  }

  /** Answers with JSON, wrapped in a call of the function that the query names, as the setting `jsonp callback name` says. */
  jsonp(body: unknown): this {
    let text: string | undefined;
    try {
      text = this.app.stringify(body);
    } catch (error) {
      return this.refuse(error as Error);
    }
    let callback: unknown = this.req.query[this.app.set("jsonp callback name") as string];
    if (Array.isArray(callback)) callback = callback[0];
    if (!this.get("Content-Type"))
      this.set("X-Content-Type-Options", "nosniff").set("Content-Type", "application/json");
    if (typeof callback !== "string" || callback === "") return this.send(text);
    const name = callback.replace(/[^[\]\w$.]/g, "");
    const value = (text ?? "").replace(/\u2028/g, "\\u2028").replace(/\u2029/g, "\\u2029");
    // The comment in front keeps the answer from being taken for another kind of file whose bytes the caller chose.
    this.set("X-Content-Type-Options", "nosniff").set("Content-Type", "text/javascript");
    return this.send(`/**/ typeof ${name} === 'function' && ${name}(${value});`);
  }

  /** Answers with text (HTML unless a type is set), bytes, or anything else as JSON; with an ETag, and 304 where that fits. */
  send(body?: unknown): this {
    if (this.headersSent) return this.end();
    let piece: string | Uint8Array | undefined;
    if (typeof body === "string") {
      piece = body;
      const type = this.getHeader("content-type");
      if (typeof type !== "string") this.put("content-type", HTML_TYPE);
      else if (!type.endsWith(UTF8)) this.setHeader("content-type", withUtf8(type));
    } else if (ArrayBuffer.isView(body)) {
      piece = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      if (!this.hasHeader("content-type")) this.setHeader("content-type", "application/octet-stream");
    } else if (body === null) {
      piece = "";
    } else if (body !== undefined) {
      return this.json(body);
    }
    if (piece !== undefined) {
      const { etag } = this.app;
      const tagged = etag !== undefined && !this.hasHeader("etag");
      this.put("content-length", String(typeof piece === "string" ? Buffer.byteLength(piece) : piece.length));
      const tag = tagged ? etag(piece, typeof piece === "string" ? "utf8" : undefined) : undefined;
      // Middleware that put something in the place of setHeader hears of it, as with Express.
      const unchecked = etag !== undefined && isBuiltIn(etag) && this.setHeader === Outgoing.prototype.setHeader;
      if (tag && unchecked) this.putTag(tag);
      else if (tag) this.setHeader("etag", tag);
    }
    if (this.req.fresh) this.statusCode = 304;
    if (this.statusCode === 204 || this.statusCode === 304) {
      this.removeHeader("content-type").removeHeader("content-length").removeHeader("transfer-encoding");
      piece = undefined;
    } else if (this.statusCode === 205) {
      this.setHeader("content-length", "0").removeHeader("transfer-encoding");
      piece = undefined;
    }
    if (this.req.method === "HEAD") this.end();
    else if (piece === undefined) this.end();
    else if (this.end === Outgoing.prototype.end) this.end(piece);
    // Middleware that wraps `end` gets what it gets of Express: bytes.
    else this.end(typeof piece === "string" ? Buffer.from(piece) : piece);
    return this;
  }

  /** Answers with a status and its name as text. */
  sendStatus(code: number): this {
    this.status(code);
    this.type("txt");
    return this.send(STATUS_CODES[code] ?? String(code));
  }

  /** Answers with what fits the `Accept` header best: a function for each type; 406 to the error handlers where none fits. */
  format(formatters: Record<string, Formatter>): this {
    const { req } = this;
    const next = req.next as Next;
    const types = Object.keys(formatters).filter((type) => type !== "default");
    const chosen = types.length > 0 ? req.accepts(types) : false;
    this.vary("Accept");
    if (chosen) {
      this.set("Content-Type", chosen.includes("/") ? (chosen.split(";")[0] as string).trim() : typeOf(chosen));
      formatters[chosen]?.(req, this, next);
    } else if (formatters.default) {
      formatters.default(req, this, next);
    } else {
      const known = types.map((type) => (type.includes("/") ? type : typeOf(type)));
      next(Object.assign(new HeraError("not_acceptable", "Not Acceptable", { status: 406 }), { types: known }));
    }
    return this;
  }

  /** Answers with another place to look, 302 unless a status is given. */
  redirect(url: string): void;
  redirect(status: number, url: string): void;
  redirect(first: string | number, second?: string): void {
    const status = typeof first === "number" ? first : 302;
    const url = typeof first === "number" ? (second as string) : first;
    const address = String(this.location(url).get("Location"));
    const name = STATUS_CODES[status] ?? String(status);
    let body = "";
    this.format({
      text: () => {
        body = `${name}. Redirecting to ${address}`;
      },
      html: () => {
        const shown = escapeHtml(address);
        body = `<!DOCTYPE html><head><title>${name}</title></head><body><p>${name}. Redirecting to ${shown}</p></body>`;
      },
      default: () => {
        body = "";
      },
    });
    this.status(status);
    this.set("Content-Length", String(Buffer.byteLength(body)));
    if (this.req.method === "HEAD") this.end();
    else this.end(body);
  }

  /** Says that the answer is to be saved as a file, under this name. */
  attachment(filename?: string): this {
    const name = filename === undefined ? undefined : basename(filename);
    if (name) this.type(extname(name));
    return this.set("Content-Disposition", contentDisposition(name));
  }

  /** Answers with a file, by ranges and conditions as they are asked for.
   *  @param path absolute, or under `options.root`
   *  @param done runs at the end; without it errors go to the error handlers
   *  @throws TypeError */
  sendFile(path: string, options?: SendFileOptions | Next, done?: Next): void {
    if (typeof path !== "string" || path === "") {
      this.refuse(new TypeError("path must be a string to res.sendFile"));
      return;
    }
    const given = typeof options === "object" && options !== null ? options : {};
    const after = typeof options === "function" ? options : done;
    if (!given.root && !isAbsolute(path)) {
      this.refuse(new TypeError("path must be absolute or specify root to res.sendFile"));
      return;
    }
    sendFile(this.req, this, path, { ...given, etag: this.app.enabled("etag") }, after);
  }

  /** Answers with a file that is to be saved, under its own name or another. */
  download(
    path: string,
    filename?: string | SendFileOptions | Next | null,
    options?: SendFileOptions | Next,
    done?: Next,
  ): void {
    const given = [filename, options].find((each) => typeof each === "object" && each !== null) as
      | SendFileOptions
      | undefined;
    const after = [filename, options, done].find((each) => typeof each === "function") as Next | undefined;
    const name = typeof filename === "string" ? filename : path;
    const others = Object.entries(given?.headers ?? {}).filter(([key]) => key.toLowerCase() !== "content-disposition");
    const headers = { "Content-Disposition": contentDisposition(basename(name)), ...Object.fromEntries(others) };
    this.sendFile(given?.root ? path : resolve(path), { ...given, headers }, after);
  }

  /** Thrown where a handler on the stack can catch it; where nobody could, in a timer or a callback, it would end the process,
   *  so it goes to the error handlers. */
  protected override refuse(error: Error): this {
    const { next } = this.req;
    if (this.inHandler || !next) throw error;
    next(error);
    return this;
  }
}

export interface Response extends Express.Response {}

function withUtf8(type: string): string {
  try {
    const parsed = parseType(type);
    parsed.parameters.charset = "utf-8";
    return formatType(parsed);
  } catch {
    return type;
  }
}

function typeOf(extension: string): string {
  return mime.lookup(extension) || "application/octet-stream";
}

const UTF8 = "; charset=utf-8";
const JSON_TYPE = `application/json${UTF8}`;
const HTML_TYPE = `text/html${UTF8}`;

/** The settings of an app that Express knows and that have a meaning here. */
import { hash } from "node:crypto";
import { createRequire } from "node:module";
import { type Fields, parseFields } from "./body.js";
import { HeraError } from "./errors.js";

/** Gives the ETag of an answer, or undefined for none. */
export type MakeEtag = (body: string | Uint8Array, encoding?: BufferEncoding) => string | undefined;
/** Is given null where a url has no query at all, as Express does it. */
export type ParseQuery = (query: string | null) => Fields;

/** What `set` was given by name, and what is made of it once, so that no call has to. */
export class Settings {
  readonly values: Record<string, unknown> = Object.assign(Object.create(null), {
    etag: "weak",
    env: process.env.NODE_ENV || "development",
    "jsonp callback name": "callback",
    "query parser": "simple",
    "subdomain offset": 2,
  });
  etag: MakeEtag | undefined = weak;
  parseQuery: ParseQuery = parseFields;
  #plainJson = true;

  /** @throws HeraError `bad_option` for a value that its setting cannot have */
  set(name: string, value: unknown): void {
    if (name === "etag") this.etag = makeEtag(value);
    if (name === "query parser") this.parseQuery = queryParser(value);
    if (name === "trust proxy") {
      throw new HeraError(
        "bad_option",
        "trust proxy: the broker decides whom to trust, by its setting http.trusted_peers",
      );
    }
    this.values[name] = value;
    const { values } = this;
    this.#plainJson = !values["json spaces"] && !values["json replacer"] && !values["json escape"];
  }

  /** JSON text by the settings `json spaces`, `json replacer` and `json escape`; undefined for what has none.
   *  @throws TypeError for what JSON cannot hold */
  stringify(value: unknown): string | undefined {
    if (this.#plainJson) return JSON.stringify(value) as string | undefined;
    const { "json replacer": replacer, "json spaces": spaces, "json escape": escaped } = this.values;
    const text = JSON.stringify(value, replacer as (string | number)[], spaces as number) as string | undefined;
    return escaped ? text?.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`) : text;
  }
}

/** @throws HeraError `bad_option` */
function makeEtag(setting: unknown): MakeEtag | undefined {
  if (typeof setting === "function") return setting as MakeEtag;
  if (setting === true || setting === "weak") return weak;
  if (setting === "strong") return strong;
  if (setting === false || setting === undefined) return undefined;
  throw new HeraError("bad_option", `etag: ${String(setting)} is not weak, strong, false or a function`);
}

/** Whether it is none of the app's own, so that what it gives is known to be good. */
export function isBuiltIn(etag: MakeEtag): boolean {
  return etag === weak || etag === strong;
}

function weak(body: string | Uint8Array): string {
  return `W/${strong(body)}`;
}

/** The form that Express gives it: length, and the digest's first 27 characters. */
function strong(body: string | Uint8Array): string {
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  return `"${bytes.toString(16)}-${hash("sha1", body as string, "base64").slice(0, 27)}"`;
}

/** @throws HeraError `bad_option` */
function queryParser(setting: unknown): ParseQuery {
  if (typeof setting === "function") return setting as ParseQuery;
  if (setting === true || setting === "simple") return parseFields;
  if (setting === false) return () => Object.create(null) as Fields;
  if (setting === "extended") {
    const parse = parseNested("query parser");
    return (query) => parse(query ?? "");
  }
  throw new HeraError("bad_option", `query parser: ${String(setting)} is not simple, extended, false or a function`);
}

/** Nested names, `a[b]=1`, by the package qs, which only apps that want it have to install; `limits` are options of qs.
 *  @throws HeraError `bad_option` where it is not installed */
export function parseNested(where: string): (text: string, limits?: object) => Fields {
  let qs: { parse(text: string, options: object): Fields };
  try {
    qs = createRequire(import.meta.url)("qs");
  } catch (cause) {
    throw new HeraError("bad_option", `${where}: extended needs the package qs; npm install qs`, { cause });
  }
  return (text, limits) => qs.parse(text, { plainObjects: true, ...limits });
}

/** `json()`, `urlencoded()`, `text()` and `raw()`: for apps that come from Express. Bodies are parsed without them; they are for
 *  bodies of other types, and for other readings of one. */
import typeis, { hasBody } from "type-is";
import { type Fields, inflate, parseFields, parseJson, textOf } from "./body.js";
import { HeraError } from "./errors.js";
import type { Handler } from "./layer.js";
import type { Request } from "./request.js";
import { parseNested } from "./settings.js";

export interface BodyParserOptions {
  /** Content types that it is for, as `req.is` takes them; or a function that says so. */
  type?: string | readonly string[] | ((req: Request) => boolean) | undefined;
  /** Largest body in bytes, or text such as `100kb` or `1mb`; the endpoint's `bodyLimit` holds all the same, and is what keeps larger ones away. */
  limit?: number | string | undefined;
  /** urlencoded: nested names, `a[b]=1`; needs the package qs. Default false. */
  extended?: boolean | undefined;
}

/** Parses JSON bodies. Default type: `application/json`. */
export function json(options: BodyParserOptions = {}): Handler {
  return parser("json", ["application/json"], options, (req, bytes) => {
    return bytes.length === 0 ? {} : parseJson(textOf(contentType(req), bytes));
  });
}

/** Parses forms. Default type: `application/x-www-form-urlencoded`. */
export function urlencoded(options: BodyParserOptions = {}): Handler {
  const parse = options.extended ? nestedFields() : parseFields;
  const type = ["application/x-www-form-urlencoded"];
  return parser("urlencoded", type, options, (req, bytes) => parse(textOf(contentType(req), bytes)));
}

/** Gives bodies as text. Default type: `text/plain`. */
export function text(options: BodyParserOptions = {}): Handler {
  return parser("text", ["text/plain"], options, (req, bytes) => textOf(contentType(req), bytes));
}

/** Gives bodies as bytes. Default type: `application/octet-stream`. */
export function raw(options: BodyParserOptions = {}): Handler {
  return parser("raw", ["application/octet-stream"], options, (_req, bytes) => bytes);
}

function parser(
  name: string,
  types: readonly string[],
  options: BodyParserOptions,
  parse: (req: Request, bytes: Buffer) => unknown,
): Handler {
  for (const each of Object.keys(options)) {
    if (!KNOWN.has(each)) throw new HeraError("bad_option", `${name}: unknown option ${each}`);
  }
  const { type = types } = options;
  const most = bytesOf(options.limit);
  if (Number.isNaN(most)) {
    throw new HeraError(
      "bad_option",
      `${name}: limit ${String(options.limit)} is not a number of bytes, or text such as 1mb`,
    );
  }
  const fits = typeof type === "function" ? type : (req: Request) => Boolean(typeis(req, [type].flat() as string[]));
  return (req, _res, next) => {
    const { rawBody } = req;
    // What has a length has a body, if an empty one.
    if (rawBody === undefined || !hasBody(req) || !fits(req)) return next();
    const bytes = inflate(req.get("content-encoding"), rawBody, most);
    if (bytes.length > most) {
      const text = `body of ${bytes.length} bytes exceeds the limit of ${most}`;
      throw new HeraError("body_too_large", text, { status: 413 });
    }
    req.body = parse(req, bytes);
    next();
  };
}

/** Nested names, as many and as deep as Express takes them; qs itself would leave out in silence what is over a limit. */
function nestedFields(): (text: string) => Fields {
  const parse = parseNested("urlencoded");
  return (text) => {
    const count = text.split("&").length;
    if (count > FIELDS_MAX) {
      throw new HeraError("body_too_large", `the form has over ${FIELDS_MAX} fields`, { status: 413 });
    }
    try {
      return parse(text, { arrayLimit: Math.max(100, count), depth: 32, strictDepth: true });
    } catch (cause) {
      throw new HeraError("bad_body", "the form's names are nested too deep", { status: 400, cause });
    }
  };
}

function contentType(req: Request): string {
  return req.get("content-type") ?? "";
}

function bytesOf(limit: number | string | undefined): number {
  if (limit === undefined) return Number.MAX_SAFE_INTEGER;
  const found = /^(\d{1,15})(b|kb|mb)?$/i.exec(String(limit));
  const unit = { b: 1, kb: 1024, mb: 1024 ** 2 }[(found?.[2] ?? "b").toLowerCase()];
  return Number(found?.[1] ?? Number.NaN) * (unit ?? 1);
}

const FIELDS_MAX = 1000;
const KNOWN = new Set(["type", "limit", "extended"]);

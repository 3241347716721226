/** Bodies and queries as values; nothing in them can reach a prototype. */
import { isUtf8 } from "node:buffer";
import { parse } from "node:querystring";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";
import { HeraError } from "./errors.js";

/** A query or a form: text, or a list where a name stands more than once; deeper only by a query parser of the app's own. */
export interface Fields {
  [name: string]: string | Fields | (string | Fields)[] | undefined;
}

/** Parses a body by its content type: JSON and forms to values, anything else stays bytes; empty is undefined.
 *  @param most bytes that a compressed body may come to
 *  @throws HeraError `bad_body` (400), `unsupported_charset` or `unsupported_encoding` (415), `body_too_large` (413) */
export function parseBody(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  bytes: Buffer,
  most: number,
): unknown {
  if (bytes.length === 0) return undefined;
  const kind = contentType === undefined ? undefined : kindOf(contentType);
  if (contentType === undefined || kind === undefined) return bytes;
  const plain = inflate(contentEncoding, bytes, most);
  if (plain.length === 0) return undefined;
  const text = textOf(contentType, plain);
  return kind === "json" ? parseJson(text) : parseFields(text);
}

/** The text of a body.
 *  @throws HeraError `bad_body` (400) or `unsupported_charset` (415) */
export function textOf(contentType: string, bytes: Buffer): string {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1]?.toLowerCase();
  if (charset !== undefined && charset !== "utf-8" && charset !== "utf8" && charset !== "us-ascii") {
    throw new HeraError("unsupported_charset", "a body of this type has to be utf-8", { status: 415 });
  }
  if (!isUtf8(bytes)) throw new HeraError("bad_body", "the body is not valid utf-8", { status: 400 });
  return bytes.toString("utf8");
}

/** Takes off the content encoding; a body that grows over `most` is refused before it is held.
 *  @throws HeraError `bad_body` (400), `unsupported_encoding` (415) or `body_too_large` (413) */
export function inflate(encoding: string | undefined, bytes: Buffer, most: number): Buffer {
  const name = encoding?.trim().toLowerCase() ?? "identity";
  if (name === "identity" || name === "") return bytes;
  const decoder = DECODERS.get(name);
  if (!decoder)
    throw new HeraError("unsupported_encoding", "the body's content-encoding is not known", { status: 415 });
  try {
    return decoder(bytes, { maxOutputLength: Math.max(1, Math.min(most, 2 ** 31)) });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") {
      const text = `body of over ${most} bytes exceeds the endpoint's limit`;
      throw new HeraError("body_too_large", text, { status: 413, cause });
    }
    throw new HeraError("bad_body", "the body is not what its content-encoding says", { status: 400, cause });
  }
}

/** Parses a query or a form: a name that stands more than once gives a list. Without prototype. */
export function parseFields(text: string | null): Fields {
  // No limit on the number: the length is limited already, and names left out in silence would be worse.
  const fields = parse(text ?? "", "&", "=", { maxKeys: 0 }) as Fields;
  if (PROTO in fields) delete fields[PROTO];
  return fields;
}

const DECODERS = new Map([
  ["gzip", gunzipSync],
  ["deflate", inflateSync],
  ["br", brotliDecompressSync],
]);

const PROTO = "__proto__";
/** Whether a text could hold such a name, escaped or not; nearly no body does, and the others are spared the slow way. */
const PROTOTYPE_NAMES = /"(?:__|_\\|\\u005f|\\u0063|constructor"|c[^"\\]*\\)/i;

/** @throws HeraError `bad_body` (400) */
export function parseJson(text: string): unknown {
  try {
    return PROTOTYPE_NAMES.test(text) ? JSON.parse(text, withoutPrototypes) : JSON.parse(text);
  } catch (cause) {
    throw new HeraError("bad_body", "the body is not valid JSON", { status: 400, cause });
  }
}

/** Drops what a careless merge in a handler would turn into a change of a prototype. */
function withoutPrototypes(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  if (Object.hasOwn(value, PROTO)) delete (value as Record<string, unknown>)[PROTO];
  const maker = Object.hasOwn(value, "constructor") ? (value as { constructor: unknown }).constructor : undefined;
  if (typeof maker === "object" && maker !== null && Object.hasOwn(maker, "prototype")) {
    delete (value as { constructor?: unknown }).constructor;
  }
  return value;
}

/** What a body of this type is parsed to; undefined where it is not. */
export function kindOf(contentType: string): "json" | "form" | undefined {
  const end = contentType.indexOf(";");
  const type = (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
  if (type === "application/json" || type.endsWith("+json")) return "json";
  return type === "application/x-www-form-urlencoded" ? "form" : undefined;
}

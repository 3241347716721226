/** Bodies and queries as values; nothing in them can reach a prototype. */
import { isUtf8 } from "node:buffer";
import { parse } from "node:querystring";
import { HeraError } from "./errors.js";

export type Fields = Record<string, string | string[]>;

/** Parses a body by its content type: JSON and forms to values, anything else stays bytes; empty is undefined.
 *  @throws HeraError `bad_body` (400) or `unsupported_charset` (415) */
export function parseBody(contentType: string | undefined, bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (contentType === undefined) return bytes;
  const kind = kindOf(contentType);
  if (kind === undefined) return bytes;
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1]?.toLowerCase();
  if (charset !== undefined && charset !== "utf-8" && charset !== "utf8" && charset !== "us-ascii") {
    throw new HeraError("unsupported_charset", "a body of this type has to be utf-8", { status: 415 });
  }
  if (!isUtf8(bytes)) throw new HeraError("bad_body", "the body is not valid utf-8", { status: 400 });
  const text = bytes.toString("utf8");
  return kind === "json" ? parseJson(text) : parseFields(text);
}

/** Parses a query or a form: a name that stands more than once gives a list. */
export function parseFields(text: string): Fields {
  // No limit on the number: the length is limited already, and names left out in silence would be worse.
  const fields = parse(text, "&", "=", { maxKeys: 0 }) as Fields;
  if (PROTO in fields) delete fields[PROTO];
  return fields;
}

const PROTO = "__proto__";
/** Whether a text could hold such a name, escaped or not; nearly no body does, and the others are spared the slow way. */
const PROTOTYPE_NAMES = /"(?:__|_\\|\\u005f|\\u0063|constructor"|c[^"\\]*\\)/i;

function parseJson(text: string): unknown {
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

function kindOf(contentType: string): "json" | "form" | undefined {
  const end = contentType.indexOf(";");
  const type = (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
  if (type === "application/json" || type.endsWith("+json")) return "json";
  return type === "application/x-www-form-urlencoded" ? "form" : undefined;
}

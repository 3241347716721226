/** Canonical paths (P-46, P-47). */
import { isUtf8 } from "node:buffer";

/** A path, or what is wrong with it. */
export type Canonical = { path: string } | { error: string };

const PLAIN = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+$/;
const DOTS = /\/\.{1,2}(?:\/|$)/;

/** The canonical form of a raw path without its query; doing it twice changes nothing.
 *  @param raw bytes as code points up to U+00FF, as they stand in a request, or text */
export function canonical(raw: string): Canonical {
  if (PLAIN.test(raw)) return DOTS.test(raw) ? { error: "dot segment" } : { path: raw };
  return rewrite(Buffer.from(raw, "utf8"));
}

/** The same for the bytes of a path, which need not be UTF-8. */
export function canonicalBytes(raw: Buffer): Canonical {
  return rewrite(raw);
}

function rewrite(raw: Buffer): Canonical {
  if (raw[0] !== SLASH) return { error: "path does not begin with /" };
  const decoded = Buffer.allocUnsafe(raw.length);
  let decodedLength = 0;
  let path = "";
  for (let at = 0; at < raw.length; at++) {
    let byte = raw[at] as number;
    const escaped = byte === PERCENT;
    if (escaped) {
      byte = hexByte(raw, at + 1);
      if (byte < 0) return { error: "bad escape" };
      at += 2;
    }
    if (byte < 0x20 || byte === 0x7f) return { error: "control byte" };
    if (byte === BACKSLASH) return { error: "backslash" };
    if (byte === SLASH && escaped) return { error: "escaped slash" };
    if (byte === HASH && !escaped) return { error: "fragment" };
    decoded[decodedLength++] = byte;
    if (escaped ? isUnreserved(byte) : isPathByte(byte)) path += String.fromCharCode(byte);
    else path += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  if (!isUtf8(decoded.subarray(0, decodedLength))) return { error: "path is not UTF-8" };
  if (path.includes("//")) return { error: "empty segment" };
  if (DOTS.test(path)) return { error: "dot segment" };
  if (path.length > 1 && path.endsWith("/")) path = path.slice(0, -1);
  return { path };
}

/** Decodes one segment of a path, once.
 *  @throws URIError with status 400 for an escape that is none, which only a url that middleware rewrote can hold */
export function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw Object.assign(new URIError(`Failed to decode param '${segment}'`, { cause }), { status: 400 });
  }
}

function hexByte(raw: Buffer, at: number): number {
  const high = hexDigit(raw[at]);
  const low = hexDigit(raw[at + 1]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isUnreserved(byte: number): boolean {
  return UNRESERVED.test(String.fromCharCode(byte));
}

function isPathByte(byte: number): boolean {
  return byte < 0x80 && PATH_BYTE.test(String.fromCharCode(byte));
}

const UNRESERVED = /[A-Za-z0-9\-._~]/;
const PATH_BYTE = /[A-Za-z0-9\-._~!$&'()*+,;=:@/]/;
const SLASH = 0x2f;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const HASH = 0x23;

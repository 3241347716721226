/** Endpoint patterns: what is declared (P-28, P-29), and the two ways of writing it that an app may use. */
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import { canonical, decode } from "./path.js";

export type Segment =
  | { kind: "static"; text: string }
  | { kind: "parameter"; name: string }
  /** One or more segments. `asList`: the app wrote `*name`, which Express 5 gives as a list; `{*name}` is text. */
  | { kind: "tail"; name: string; asList: boolean };

export interface Endpoint {
  method: string;
  segments: Segment[];
}

/** Path parameters; a `*name` tail is a list of its segments. */
export type Params = Record<string, string | string[]>;

/** Reads `METHOD PATTERN` in Hera's own form.
 *  @throws HeraError `bad_endpoint` */
export function parseEndpoint(text: string): Endpoint {
  if (Buffer.byteLength(text) > limits.endpoint_bytes_max) {
    throw refuse(text.slice(0, 100), `it is over ${limits.endpoint_bytes_max} bytes`);
  }
  const space = text.indexOf(" ");
  const method = text.slice(0, Math.max(space, 0));
  if (method !== "*" && !METHOD.test(method)) throw refuse(text, "its method is no upper-case token");
  return { method, segments: parsePattern(text.slice(space + 1), text) };
}

/** Reads a pattern as an app writes it: `/users/:id`, `/files/*rest`, `/users/{id}`, `/files/{*rest}`.
 *
 *  One trailing slash is dropped, as Express does unless routing is strict. What a broker could not match is refused here, so
 *  that the mistake shows where it was made.
 *  @throws HeraError `bad_endpoint` */
export function parseAppPattern(pattern: unknown): Segment[] {
  if (typeof pattern !== "string") throw refuse(String(pattern), "only text can be declared");
  if (RESERVED.test(pattern)) throw refuse(pattern, "( ) [ ] ? + ! and \\ are not supported");
  const trimmed = pattern.length > 1 && pattern.endsWith("/") ? pattern.slice(0, -1) : pattern;
  const lists = new Set<string>();
  const hera = trimmed
    .split("/")
    .map((segment) => {
      if (segment.startsWith("{/") || (segment.includes("{") && !WHOLE_GROUP.test(segment))) {
        throw refuse(pattern, "optional groups and parts of segments are not supported");
      }
      const express = EXPRESS_PARAMETER.exec(segment);
      if (!express) {
        if (segment.includes(":") || segment.includes("*")) {
          if (!WHOLE_GROUP.test(segment)) {
            throw refuse(pattern, "a parameter is a whole segment, :name or *name");
          }
        }
        return segment;
      }
      const [, mark, name] = express as unknown as [string, string, string];
      if (mark === "*") lists.add(name);
      return mark === "*" ? `{*${name}}` : `{${name}}`;
    })
    .join("/");
  const segments = parsePattern(hera, pattern);
  for (const segment of segments) if (segment.kind === "tail") segment.asList = lists.has(segment.name);
  return segments;
}

/** The declared text of segments: `/users/{id}`. */
export function patternText(segments: Segment[]): string {
  return segments.map((segment) => `/${segmentText(segment)}`).join("");
}

/** The pattern without its names: two endpoints of one shape are the same to a broker. */
export function shape(segments: Segment[]): string {
  return segments
    .map((segment) => (segment.kind === "static" ? `/${segment.text}` : segment.kind === "tail" ? "/{*}" : "/{}"))
    .join("");
}

/** Whether `parts`, the segments of a canonical path, fit; fills `params` and gives how many parts were used, or -1.
 *  @param prefix true: more parts may follow */
export function match(segments: Segment[], parts: string[], params: Params, prefix: boolean): number {
  if (parts.length < segments.length) return -1;
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] as Segment;
    const part = parts[i] as string;
    if (segment.kind === "static") {
      if (segment.text !== part) return -1;
    } else if (segment.kind === "parameter") {
      params[segment.name] = decode(part);
    } else {
      const rest = parts.slice(i).map(decode);
      params[segment.name] = segment.asList ? rest : rest.join("/");
      return parts.length;
    }
  }
  return prefix || parts.length === segments.length ? segments.length : -1;
}

function parsePattern(pattern: string, whole: string): Segment[] {
  if (!pattern.startsWith("/")) throw refuse(whole, "a pattern begins with /");
  if (pattern === "/") throw refuse(whole, "/ alone cannot be declared");
  const raw = pattern.slice(1).split("/");
  if (raw.length > limits.segments_max) throw refuse(whole, `it has over ${limits.segments_max} segments`);
  const names = new Set<string>();
  const segments = raw.map((text, i) => parseSegment(text, i === raw.length - 1, whole, names));
  const [first] = segments;
  if (first?.kind === "static" && first.text === "-") throw refuse(whole, "everything under /-/ belongs to Hera");
  return segments;
}

function parseSegment(text: string, last: boolean, whole: string, names: Set<string>): Segment {
  if (text === "") throw refuse(whole, "it has an empty segment");
  const group = GROUP.exec(text);
  if (!group) {
    if (/[{}]/.test(text)) throw refuse(whole, "a parameter is a whole segment, {name} or {*name}");
    if (/[ ?]/.test(text)) throw refuse(whole, "it holds a space or a query");
    const form = canonical(`/${text}`);
    if ("error" in form) throw refuse(whole, form.error);
    return { kind: "static", text: form.path.slice(1) };
  }
  const [, star, name] = group as unknown as [string, string, string];
  if (names.has(name)) throw refuse(whole, `it names ${name} twice`);
  names.add(name);
  if (star === "") return { kind: "parameter", name };
  if (!last) throw refuse(whole, "a tail stands last");
  return { kind: "tail", name, asList: false };
}

function segmentText(segment: Segment): string {
  if (segment.kind === "static") return segment.text;
  return segment.kind === "tail" ? `{*${segment.name}}` : `{${segment.name}}`;
}

function refuse(pattern: string, why: string): HeraError {
  return new HeraError("bad_endpoint", `pattern ${JSON.stringify(pattern)} cannot be declared: ${why}`, {
    endpoints: [{ endpoint: pattern, code: "bad_endpoint", message: why }],
  });
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Z]{1,32}$/;
const GROUP = /^\{(\*?)([A-Za-z_][A-Za-z0-9_]*)\}$/;
const WHOLE_GROUP = /^\{[^{}/]*\}$/;
const EXPRESS_PARAMETER = /^([:*])([A-Za-z_][A-Za-z0-9_]*)$/;
const RESERVED = /[()[\]?+!\\]/;

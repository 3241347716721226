/** Patterns: Express 5's, as an app writes them, and what they are to a broker (P-28, P-29). */
import { parse, type Token } from "path-to-regexp";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import { canonical } from "./path.js";

/** A path of Express 5: text, a regular expression, or a list of both. */
export type Path = string | RegExp | readonly Path[];

/** Path parameters; a `*name` is the list of its segments. */
export type Params = Record<string, string | string[] | undefined>;

/** The endpoint patterns, `/users/{id}`, that together are what an Express pattern matches.
 *
 *  An optional group gives a pattern with it and one without; of the paths that Express would match, only `/` is left out, which
 *  no broker routes.
 *  @throws HeraError `bad_endpoint` where no endpoints can say what the pattern says */
export function endpointPatterns(pattern: string): string[] {
  const found = new Set<string>();
  for (const tokens of alternatives(tokensOf(pattern), pattern)) {
    const text = endpointPattern(tokens, pattern);
    if (text !== "") found.add(text);
  }
  if (found.size === 0) throw refuse(pattern, "no broker routes / alone");
  return [...found];
}

/** Refuses what no mount path could mend, so that the mistake shows where it was made.
 *  @param mounted the route is a router's, under whose mount path `/` may mean something
 *  @throws HeraError `bad_endpoint` */
export function checkRoutePath(path: Path, mounted: boolean): void {
  for (const each of flatPaths(path)) {
    if (each instanceof RegExp) throw refuse(String(each), "a broker cannot match a regular expression");
    if (each === "" || each === "/") {
      if (mounted) continue;
      throw refuse(each, "no broker routes / alone");
    }
    if (!each.startsWith("/") && !each.startsWith("{")) throw refuse(each, "a pattern begins with /");
    for (const tokens of alternatives(tokensOf(each), each)) endpointPattern(tokens, each);
  }
}

/** Refuses a mount path that says less than it seems to. */
export function checkMountPath(path: Path): void {
  for (const each of flatPaths(path)) if (typeof each === "string") tokensOf(each);
}

/** The paths of a layer as one list.
 *  @throws HeraError `bad_endpoint` for anything else */
export function flatPaths(path: Path): (string | RegExp)[] {
  if (Array.isArray(path)) return path.flatMap(flatPaths);
  if (typeof path === "string" || path instanceof RegExp) return [path];
  throw refuse(String(path), "a path is text, a regular expression, or a list of them");
}

/** One text for a route under the paths where its routers are mounted. */
export function joinPaths(mount: string, path: string): string {
  const base = mount.replace(/\/+$/, "");
  return path === "/" || path === "" ? base || "/" : base + path;
}

/** The pattern without its names: two endpoints of one shape are the same to a broker. */
export function shape(endpointPattern: string): string {
  return endpointPattern.replace(/\{(\*?)[^}]*\}/g, "{$1}");
}

/** Reads a pattern; a static text in it is taken in its canonical form.
 *  @throws HeraError `bad_endpoint` */
export function tokensOf(pattern: string): Token[] {
  let tokens: Token[];
  try {
    tokens = parse(pattern, { encodePath: (text) => canonicalText(text, pattern) }).tokens;
  } catch (error) {
    if (error instanceof HeraError) throw error;
    throw refuse(pattern, (error as Error).message.replace(/[:;].*$/s, ""));
  }
  tokens.forEach((token, i) => {
    const [only] = token.type === "group" ? token.tokens : [];
    if (token.type !== "group" || token.tokens.length !== 1 || only?.type !== "text") return;
    const wholeSegment = textOf(tokens[i - 1]).endsWith("/") && !/^[^/]/.test(textOf(tokens[i + 1]));
    if (wholeSegment && IDENTIFIER.test(only.value)) {
      throw refuse(pattern, `{${only.value}} is an optional text here; a parameter is :${only.value}`);
    }
  });
  return tokens;
}

/** Every sequence that is left when each group is either there or not. */
function alternatives(tokens: readonly Token[], pattern: string): Token[][] {
  let all: Token[][] = [[]];
  for (const token of tokens) {
    if (token.type !== "group") {
      for (const sequence of all) sequence.push(token);
      continue;
    }
    const inside = alternatives(token.tokens, pattern);
    all = all.flatMap((sequence) => [...inside.map((more) => [...sequence, ...more]), sequence]);
    if (all.length > ALTERNATIVES_MAX) throw refuse(pattern, `it means over ${ALTERNATIVES_MAX} endpoints`);
  }
  return all;
}

/** One sequence as an endpoint's pattern; empty for `/`. */
function endpointPattern(tokens: readonly Token[], pattern: string): string {
  let text = "";
  const names = new Set<string>();
  tokens.forEach((token, i) => {
    if (token.type === "text") {
      text += token.value;
      return;
    }
    if (token.type === "group") return;
    const next = textOf(tokens[i + 1]);
    const last = i === tokens.length - 1 || (i === tokens.length - 2 && next === "/");
    if (!text.endsWith("/") || !(last || next.startsWith("/"))) {
      throw refuse(pattern, `${token.name} is not a whole segment`);
    }
    if (token.type === "wildcard" && !last) throw refuse(pattern, `*${token.name} does not stand last`);
    text += token.type === "wildcard" ? `{*${nameFor(token.name, names)}}` : `{${nameFor(token.name, names)}}`;
  });
  if (text.length > 1 && text.endsWith("/")) text = text.slice(0, -1);
  if (text === "/" || text === "") return "";
  if (text.includes("//")) throw refuse(pattern, "it has an empty segment");
  if (text === "/-" || text.startsWith("/-/")) throw refuse(pattern, "everything under /-/ belongs to Hera");
  if (text.split("/").length - 1 > limits.segments_max) {
    throw refuse(pattern, `it has over ${limits.segments_max} segments`);
  }
  if (Buffer.byteLength(text) > limits.endpoint_bytes_max - METHOD_BYTES_MAX) throw refuse(pattern, "it is too long");
  return text;
}

/** A name such as the wire wants it; here it only serves to be read, since the app matches by its own pattern. */
function nameFor(name: string, taken: Set<string>): string {
  let wire = /^[A-Za-z_]\w*$/.test(name) ? name : `p${taken.size + 1}`;
  while (taken.has(wire)) wire += "_";
  taken.add(wire);
  return wire;
}

/** A broker compares canonical paths, and a layer sees them, so text in a pattern takes the same form. */
function canonicalText(text: string, pattern: string): string {
  if (/[ ?]/.test(text)) throw refuse(pattern, "it holds a space or a query");
  if (text.includes("//")) throw refuse(pattern, "it has an empty segment");
  if (PLAIN.test(text)) {
    if (/(^|\/)\.{1,2}(\/|$)/.test(text)) throw refuse(pattern, "dot segment");
    return text;
  }
  const form = canonical(text.startsWith("/") ? text : `/${text}`);
  if ("error" in form) throw refuse(pattern, form.error);
  const path = text.startsWith("/") ? form.path : form.path.slice(1);
  return text.length > 1 && text.endsWith("/") ? `${path}/` : path;
}

function textOf(token: Token | undefined): string {
  return token?.type === "text" ? token.value : "";
}

function refuse(pattern: string, why: string): HeraError {
  return new HeraError("bad_endpoint", `pattern ${JSON.stringify(pattern)} cannot be declared: ${why}`, {
    endpoints: [{ endpoint: pattern, code: "bad_endpoint", message: why }],
  });
}

const ALTERNATIVES_MAX = 64;
/** `UNSUBSCRIBE` and a space: the longest that Node has a name for. */
const METHOD_BYTES_MAX = 12;
const IDENTIFIER = /^\*?[A-Za-z_]\w*$/;
const PLAIN = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;

/** A layer of a router: the paths it is for, and what runs there. */
import { type Key, pathToRegexp, TokenData } from "path-to-regexp";
import { decode } from "./path.js";
import { flatPaths, type Params, type Path, tokensOf } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";
import type { Route } from "./route.js";
import type { Routes } from "./routes.js";

/** Goes on to the next handler; with an error, to the next error handler; `"route"` leaves this route, `"router"` this router. */
export type Next = (error?: unknown) => void;
/** Answers, or calls `next`. What it throws, and what its promise rejects with, goes to the error handlers. */
export type Handler<P = Params> = (req: Request<P>, res: Response, next: Next) => unknown;
/** Told apart by its four parameters, as in Express. Written as a method, so that a handler may call its error `Error`. */
export type ErrorHandler<P = Params> = {
  handle(error: unknown, req: Request<P>, res: Response, next: Next): unknown;
}["handle"];
/** Middleware made for Express or for Node's http, whose own types for request and response are not ours. */
export type ForeignHandler =
  | ((req: never, res: never, next: Next) => unknown)
  | ((error: never, req: never, res: never, next: Next) => unknown);

type AnyOf<P> = Handler<P> | ErrorHandler<P> | ForeignHandler;
/** Handlers as they are given, in lists or not. Those written in place have to get their types from an earlier form. */
export type Mixed<P> = (AnyOf<P> | readonly AnyOf<P>[])[];
/** Any handler, then plain ones: these may be written in place without types. */
export type MixedFirst<P> = [Mixed<P>[number], ...Handler<P>[]];
/** Any handlers, then a plain one, which may be written in place without types. */
export type PlainLast<P> = [...Mixed<P>, Handler<P>];

/** What stands in a stack, whichever of the three it is. */
export type AnyHandler = Handler | ErrorHandler;

/** What a layer found: the part of the path that it took, and the parameters in it. */
export interface Match {
  path: string;
  params: Params;
}

export interface LayerOptions {
  sensitive: boolean;
  strict: boolean;
  /** False for middleware: the path may go on behind what is matched. */
  end: boolean;
}

export class Layer {
  readonly paths: readonly (string | RegExp)[];
  readonly handler: AnyHandler | undefined;
  readonly route: Route | undefined;
  /** The routes of a router that is mounted here. */
  readonly routes: Routes | undefined;
  readonly #matchers: ((path: string) => Match | undefined)[];

  constructor(path: Path, options: LayerOptions, what: { handler?: AnyHandler; route?: Route; routes?: Routes }) {
    this.paths = flatPaths(path);
    this.handler = what.handler;
    this.route = what.route;
    this.routes = what.routes;
    this.#matchers = this.paths.map((each) => matcher(each, options));
  }

  /** @throws URIError with status 400 for an escape in a parameter that is none, which only a rewritten url can hold */
  match(path: string): Match | undefined {
    for (const matches of this.#matchers) {
      const match = matches(path);
      if (match) return match;
    }
    return undefined;
  }
}

function matcher(path: string | RegExp, options: LayerOptions): (path: string) => Match | undefined {
  if (path instanceof RegExp) return regexpMatcher(path);
  if (path === "/" && !options.end) return () => ({ path: "", params: Object.create(null) as Params });
  const text = options.strict || path === "/" ? path : path.replace(/\/+$/, "");
  const tokens = tokensOf(text);
  const settings = { sensitive: options.sensitive, end: options.end, trailing: !options.strict };
  const { regexp, keys } = pathToRegexp(new TokenData(tokens, text), settings);
  const fixed = tokens.every((token) => token.type === "text")
    ? tokens.map((token) => token.value).join("")
    : undefined;
  if (fixed === undefined) return (path) => found(regexp, keys, path);
  // Most layers of most apps hold no parameter, and most paths are told from them by their length or their letters alone.
  const longest = options.end ? fixed.length + 1 : Number.POSITIVE_INFINITY;
  return (path) => {
    if (path === fixed) return { path, params: Object.create(null) as Params };
    if (path.length < fixed.length || path.length > longest) return undefined;
    return found(regexp, keys, path);
  };
}

function found(regexp: RegExp, keys: Key[], path: string): Match | undefined {
  const match = regexp.exec(path);
  if (!match) return undefined;
  const params: Params = Object.create(null);
  for (let i = 1; i < match.length; i++) {
    const value = match[i];
    if (value === undefined) continue;
    const key = keys[i - 1] as Key;
    params[key.name] = key.type === "param" ? decode(value) : value.split("/").map(decode);
  }
  return { path: match[0], params };
}

/** As Express: a group is a parameter by its name, or by its number among those without one. */
function regexpMatcher(regexp: RegExp): (path: string) => Match | undefined {
  const names: string[] = [];
  let numbered = 0;
  for (const group of regexp.source.matchAll(/\((?:\?<(.*?)>)?(?!\?)/g)) names.push(group[1] ?? String(numbered++));
  return (path) => {
    regexp.lastIndex = 0;
    const match = regexp.exec(path);
    if (!match) return undefined;
    const params: Params = Object.create(null);
    names.forEach((name, i) => {
      const value = match[i + 1];
      if (value !== undefined) params[name] = decode(value);
    });
    return { path: match[0], params };
  };
}

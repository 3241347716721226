/** A route: one path, and handlers for its methods. */
import { METHODS } from "node:http";
import { HeraError } from "./errors.js";
import type { AnyHandler, Handler, Mixed, MixedFirst, PlainLast } from "./layer.js";
import { type EndpointOptions, endpointLimits } from "./options.js";
import type { Params, Path } from "./pattern.js";

/** A handler of a route, and the method it is for; undefined: any. */
export interface RouteHandler {
  readonly method: string | undefined;
  readonly handler: AnyHandler;
}

/** Adds handlers for one method to a route: options of the endpoint if any, then handlers. */
export interface RouteMethod<P, Self> {
  // The forms stand apart so that a handler's parameters need no types written.
  (...handlers: Handler<P>[]): Self;
  (options: EndpointOptions, ...handlers: Handler<P>[]): Self;
  (...handlers: MixedFirst<P>): Self;
  (options: EndpointOptions, ...handlers: MixedFirst<P>): Self;
  (...handlers: PlainLast<P>): Self;
  (options: EndpointOptions, ...handlers: PlainLast<P>): Self;
  (...handlers: Mixed<P>): Self;
  (options: EndpointOptions, ...handlers: Mixed<P>): Self;
}

/** HTTP methods as Express names its functions; CONNECT has no meaning here. */
export const METHOD_NAMES = METHODS.filter((method) => method !== "CONNECT").map((method) => method.toLowerCase());

/** The methods that have a function of their own. */
export type MethodName =
  | "get"
  | "post"
  | "put"
  | "patch"
  | "delete"
  | "head"
  | "options"
  | "all"
  | "copy"
  | "link"
  | "lock"
  | "merge"
  | "mkcol"
  | "move"
  | "notify"
  | "propfind"
  | "proppatch"
  | "purge"
  | "report"
  | "search"
  | "subscribe"
  | "trace"
  | "unlink"
  | "unlock"
  | "unsubscribe";

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the functions of the methods are put on the prototype below.
// biome-ignore lint/correctness/noUnusedVariables: the merged interface uses it.
export class Route<P = Params> {
  readonly path: Path;
  /** In the order in which they were added. */
  readonly stack: RouteHandler[] = [];
  /** The options of each method's endpoint, by the method's name or `*`. */
  readonly endpoints = new Map<string, EndpointOptions>();
  readonly #changed: () => void;

  constructor(path: Path, changed: () => void) {
    this.path = path;
    this.#changed = changed;
  }

  /** Whether a call of this method has handlers here. HEAD goes to those of GET. */
  handles(method: string): boolean {
    const { endpoints } = this;
    return endpoints.has(method) || endpoints.has("*") || (method === "HEAD" && endpoints.has("GET"));
  }

  /** The method whose handlers a call runs. */
  effectiveMethod(method: string): string {
    return method === "HEAD" && !this.endpoints.has("HEAD") ? "GET" : method;
  }

  /** The methods that an automatic answer to OPTIONS names. */
  get methods(): string[] {
    const methods = [...this.endpoints.keys()].filter((method) => method !== "*");
    if (this.endpoints.has("GET") && !this.endpoints.has("HEAD")) methods.push("HEAD");
    return methods;
  }

  /** @internal */
  add(method: string, args: readonly unknown[]): this {
    const [first] = args;
    const withOptions = isOptions(first);
    const options = withOptions ? (first as EndpointOptions) : {};
    const where = `${method} ${String(this.path)}`;
    const handlers = handlersOf(withOptions ? args.slice(1) : args, where);
    endpointLimits(where, options);
    this.endpoints.set(method, { ...this.endpoints.get(method), ...options });
    for (const handler of handlers) this.stack.push({ method: method === "*" ? undefined : method, handler });
    this.#changed();
    return this;
  }
}

export interface Route<P = Params> extends Record<MethodName, RouteMethod<P, Route<P>>> {}

for (const name of [...METHOD_NAMES, "all"]) {
  Object.defineProperty(Route.prototype, name, {
    configurable: true,
    writable: true,
    value(this: Route, ...args: unknown[]) {
      return this.add(name === "all" ? "*" : name.toUpperCase(), args);
    },
  });
}

/** Handlers out of whatever lists they came in.
 *  @throws HeraError `bad_option` */
export function handlersOf(values: readonly unknown[], where: string): AnyHandler[] {
  const handlers = values.flat(Number.POSITIVE_INFINITY);
  if (handlers.length === 0) throw new HeraError("bad_option", `${where}: no handler was given`);
  for (const handler of handlers) {
    if (typeof handler !== "function") throw new HeraError("bad_option", `${where}: ${typeof handler} is no handler`);
    // It would put prototypes of its own under the request and the response of every call, for good.
    if ("handle" in handler && "set" in handler) {
      throw new HeraError(
        "bad_option",
        `${where}: an app of Express cannot be mounted, but its router can: app.router`,
      );
    }
  }
  return handlers as AnyHandler[];
}

function isOptions(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The layers of a router or an app, in the order in which they were made. */
import { HeraError } from "./errors.js";
import { type AnyHandler, Layer, type Next } from "./layer.js";
import { checkMountPath, checkRoutePath, type Path } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";
import { handlersOf, Route } from "./route.js";

export interface RoutesOptions {
  /** Whether `/A` and `/a` differ to its layers. Default false, as in Express; to a broker they always differ. */
  caseSensitive?: boolean | undefined;
  /** Whether `/a/` and `/a` differ to its routes. Default false. */
  strict?: boolean | undefined;
  /** Whether the parameters of the path it is mounted at stay visible inside. Default false. */
  mergeParams?: boolean | undefined;
}

/** Runs once for each call and value of a path parameter, before the handlers of the route that holds it. */
export type ParamHandler = (req: Request, res: Response, next: Next, value: string, name: string) => unknown;

/** Where a router keeps its routes, so that `use` can tell it from other functions. */
export const ROUTES = Symbol("hera.routes");

export class Routes {
  readonly stack: Layer[] = [];
  readonly params = new Map<string, ParamHandler[]>();
  readonly options: RoutesOptions;
  readonly #listeners = new Set<() => void>();

  readonly #mounted: boolean;

  /** @param mounted false for an app's own, which no path is in front of */
  constructor(options: RoutesOptions = {}, mounted = true) {
    this.#mounted = mounted;
    for (const name of Object.keys(options)) {
      if (!KNOWN.has(name)) throw new HeraError("bad_option", `router: unknown option ${name}`);
    }
    this.options = options;
  }

  /** Adds middleware and routers: for every path, or for those under a path. Declares nothing of its own. */
  use(args: readonly unknown[]): void {
    let first: unknown = args[0];
    while (Array.isArray(first) && first.length > 0) first = first[0];
    const hasPath = typeof first !== "function" && args.length > 1;
    const path = (hasPath ? args[0] : "/") as Path;
    if (hasPath) checkMountPath(path);
    const settings = { sensitive: this.options.caseSensitive === true, strict: false, end: false };
    for (const handler of handlersOf(hasPath ? args.slice(1) : args, "use")) {
      const routes = routesOf(handler);
      if (routes?.holds(this)) throw new HeraError("bad_option", "use: a router cannot be mounted inside itself");
      routes?.onChange(this.changed);
      this.stack.push(new Layer(path, settings, routes ? { routes } : { handler }));
    }
    this.changed();
  }

  /** Adds a route and declares it, once it has handlers.
   *  @throws HeraError `bad_endpoint` */
  route(path: unknown): Route {
    checkRoutePath(path as Path, this.#mounted);
    const route = new Route(path as Path, this.changed);
    const { caseSensitive, strict } = this.options;
    const settings = { sensitive: caseSensitive === true, strict: strict === true, end: true };
    this.stack.push(new Layer(route.path, settings, { route }));
    return route;
  }

  param(name: unknown, handler: unknown): void {
    if (Array.isArray(name)) {
      for (const each of name) this.param(each, handler);
      return;
    }
    if (typeof name !== "string" || name === "") throw new HeraError("bad_option", "param: the name is no text");
    if (typeof handler !== "function")
      throw new HeraError("bad_option", `param ${name}: ${typeof handler} is no handler`);
    const known = this.params.get(name);
    if (known) known.push(handler as ParamHandler);
    else this.params.set(name, [handler as ParamHandler]);
  }

  /** Whether this is `other`, or has it mounted somewhere inside. */
  holds(other: Routes): boolean {
    return this === other || this.stack.some(({ routes }) => routes?.holds(other));
  }

  /** Calls `listener` whenever what is declared may have changed. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  readonly changed = (): void => {
    for (const listener of this.#listeners) listener();
  };
}

/** The routes of a router; undefined for any other function. */
export function routesOf(handler: AnyHandler): Routes | undefined {
  return (handler as { [ROUTES]?: Routes })[ROUTES];
}

const KNOWN = new Set(["caseSensitive", "strict", "mergeParams"]);

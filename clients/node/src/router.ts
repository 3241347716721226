/** `Router()`: routes and middleware of their own, to be mounted by `use`. */
import { walk } from "./compose.js";
import type { Handler, Mixed, MixedFirst, Next, PlainLast } from "./layer.js";
import type { EndpointOptions } from "./options.js";
import type { Params, Path } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";
import { METHOD_NAMES, type MethodName, type Route } from "./route.js";
import type { RouteParams } from "./route-params.js";
import { type ParamHandler, ROUTES, Routes, type RoutesOptions } from "./routes.js";

type ParamsOf<P extends Path> = P extends string ? RouteParams<P> : Params;

/** Declares an endpoint: a path, options if any, handlers. */
export interface RouteFunction<Self> {
  // The forms stand apart so that a handler's parameters need no types written.
  <P extends Path>(path: P, ...handlers: Handler<ParamsOf<P>>[]): Self;
  <P extends Path>(path: P, options: EndpointOptions, ...handlers: Handler<ParamsOf<P>>[]): Self;
  <P extends Path>(path: P, ...handlers: MixedFirst<ParamsOf<P>>): Self;
  <P extends Path>(path: P, options: EndpointOptions, ...handlers: MixedFirst<ParamsOf<P>>): Self;
  <P extends Path>(path: P, ...handlers: PlainLast<ParamsOf<P>>): Self;
  <P extends Path>(path: P, options: EndpointOptions, ...handlers: PlainLast<ParamsOf<P>>): Self;
  <P extends Path>(path: P, ...handlers: Mixed<ParamsOf<P>>): Self;
  <P extends Path>(path: P, options: EndpointOptions, ...handlers: Mixed<ParamsOf<P>>): Self;
}

/** Adds middleware and routers. */
export interface UseFunction<Self> {
  (...handlers: Handler[]): Self;
  <P extends Path>(path: P, ...handlers: Handler<ParamsOf<P>>[]): Self;
  (...handlers: MixedFirst<Params>): Self;
  <P extends Path>(path: P, ...handlers: MixedFirst<ParamsOf<P>>): Self;
  (...handlers: PlainLast<Params>): Self;
  <P extends Path>(path: P, ...handlers: PlainLast<ParamsOf<P>>): Self;
  (...handlers: Mixed<Params>): Self;
  <P extends Path>(path: P, ...handlers: Mixed<ParamsOf<P>>): Self;
}

/** What a router and an app have in common. */
export interface Routing<Self> extends Record<Exclude<MethodName, "get">, RouteFunction<Self>> {
  /** Adds middleware and routers: for every call, or for those under a path. Declares nothing of its own. */
  use: UseFunction<Self>;
  /** One path, to which handlers are added method by method. */
  route<P extends string>(path: P): Route<RouteParams<P>>;
  route(path: Path): Route;
  /** Runs `handler` for a path parameter of this name, once for each call and value, before the route's handlers. */
  param(name: string | readonly string[], handler: ParamHandler): Self;
}

export interface Router extends Routing<Router> {
  (req: Request, res: Response, next: Next): void;
  get: RouteFunction<Router>;
}

/** Makes a router. Routes are declared under every path where an app mounts it by `use`.
 *  @throws HeraError `bad_option` */
export function Router(options?: RoutesOptions): Router {
  const routes = new Routes(options);
  const router = (req: Request, res: Response, next: Next): void => walk(routes, req, res, next);
  return Object.assign(
    router,
    routing(routes, () => router),
  ) as unknown as Router;
}

/** The functions that add to `routes`; each gives `self()`. */
export function routing(routes: Routes, self: () => unknown): Record<string | symbol, unknown> {
  const functions: Record<string | symbol, unknown> = {
    [ROUTES]: routes,
    use(...args: unknown[]) {
      routes.use(args);
      return self();
    },
    route: (path: unknown) => routes.route(path),
    param(name: unknown, handler: unknown) {
      routes.param(name, handler);
      return self();
    },
    all(path: unknown, ...args: unknown[]) {
      routes.route(path).add("*", args);
      return self();
    },
  };
  for (const name of METHOD_NAMES) {
    functions[name] = (path: unknown, ...args: unknown[]) => {
      routes.route(path).add(name.toUpperCase(), args);
      return self();
    };
  }
  return functions;
}

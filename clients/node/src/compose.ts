/** Walks one call through the layers of a router, as Express does: in order, `next()` by `next()`.
 *
 *  One object and one bound function for each router that a call enters; none for each layer.
 */
import type { ErrorHandler, Handler, Layer, Next } from "./layer.js";
import type { Params } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";
import type { Route } from "./route.js";
import type { ParamHandler, Routes } from "./routes.js";

/** Deeper than this, the stack is left first: thousands of layers that all go on must not overflow it. */
const DEPTH_MAX = 100;

/** @param done runs when no layer answered: with the error, or with undefined
 *  @param error set: begins with the error handlers */
export function walk(routes: Routes, req: Request, res: Response, done: Next, error?: unknown): void {
  new Walk(routes, req, res, done).next(error);
}

/** What a parameter's handlers made of it, so that they run once for each value. */
interface Seen {
  match: unknown;
  value: unknown;
  error: unknown;
}

class Walk {
  readonly #routes: Routes;
  readonly #req: Request;
  readonly #res: Response;
  readonly #done: Next;
  // What the request said before this router, to be put back behind it.
  readonly #outerNext: Next | undefined;
  readonly #outerParams: Params;
  readonly #outerUrl: string;
  #layerAt = 0;
  /** The route that runs now, and the handler in it that comes next. */
  #route: Route | undefined;
  #handlerAt = 0;
  #method = "";
  /** What the current layer's path took off the front of the url. */
  #removed = "";
  #slashAdded = false;
  #allowed: string[] | undefined;
  #seen: Map<string, Seen> | undefined;
  #depth = 0;

  constructor(routes: Routes, req: Request, res: Response, done: Next) {
    this.#routes = routes;
    this.#req = req;
    this.#res = res;
    this.#done = done;
    this.#outerNext = req.next;
    this.#outerParams = req.params;
    this.#outerUrl = req.baseUrl;
    req.next = this.next;
  }

  readonly next: Next = (error) => {
    if (this.#depth >= DEPTH_MAX) {
      setImmediate(this.next, error);
      return;
    }
    this.#depth++;
    if (this.#route) this.#inRoute(this.#route, error);
    else this.#inRouter(error);
    this.#depth--;
  };

  /** The next handler of the route for this method; behind the last one the router goes on. */
  #inRoute(route: Route, error: unknown): void {
    if (error === "route" || error === "router") {
      this.#route = undefined;
      return this.#inRouter(error === "route" ? undefined : error);
    }
    const { stack } = route;
    while (this.#handlerAt < stack.length) {
      const { method, handler } = stack[this.#handlerAt++] as Route["stack"][number];
      if (method !== undefined && method !== this.#method) continue;
      // As in Express, what counts as false is no error.
      if (error ? handler.length !== 4 : handler.length > 3) continue;
      return this.#call(handler, error);
    }
    this.#route = undefined;
    this.#inRouter(error);
  }

  #inRouter(error: unknown): void {
    const req = this.#req;
    this.#restoreUrl();
    if (error === "router") return this.#leave(undefined);
    let failure = error === "route" ? undefined : error;
    const { stack } = this.#routes;
    const { path } = req;
    while (this.#layerAt < stack.length) {
      const layer = stack[this.#layerAt++] as Layer;
      const { route } = layer;
      // As in Express, an error passes by routes and routers: only middleware may handle it.
      if (failure ? layer.handler?.length !== 4 : layer.handler !== undefined && layer.handler.length > 3) continue;
      let match: ReturnType<Layer["match"]>;
      try {
        match = layer.match(path);
      } catch (caught) {
        failure ||= caught;
        continue;
      }
      if (!match) continue;
      if (route && !route.handles(req.method)) {
        if (req.method === "OPTIONS") this.#allowed = [...(this.#allowed ?? []), ...route.methods];
        continue;
      }
      req.params = this.#routes.options.mergeParams ? { ...this.#outerParams, ...match.params } : match.params;
      if (route) req.route = route;
      if (this.#routes.params.size === 0) return this.#enter(layer, match.path, path, failure);
      return this.#callParams(Object.keys(match.params), (wrong) => {
        if (wrong) this.next(failure || wrong);
        else this.#enter(layer, match.path, path, failure);
      });
    }
    this.#leave(failure);
  }

  #enter(layer: Layer, matched: string, path: string, failure: unknown): void {
    const req = this.#req;
    if (layer.route) {
      this.#route = layer.route;
      this.#handlerAt = 0;
      this.#method = layer.route.effectiveMethod(req.method);
      return this.#inRoute(layer.route, undefined);
    }
    if (matched.length > 0) {
      const next = path[matched.length];
      if (!path.startsWith(matched) || (next !== undefined && next !== "/")) return this.next(failure);
      this.#removed = matched;
      this.#slashAdded = req.enter(matched, this.#outerUrl);
    }
    if (layer.routes) walk(layer.routes, req, this.#res, this.next);
    else this.#call(layer.handler as Handler | ErrorHandler, failure);
  }

  /** Runs one handler; what it throws and what its promise rejects with goes on as an error. */
  #call(handler: Handler | ErrorHandler, error: unknown): void {
    const res = this.#res;
    const outer = res.inHandler;
    res.inHandler = true;
    let result: unknown;
    try {
      result = error
        ? (handler as ErrorHandler)(error, this.#req, res, this.next)
        : (handler as Handler)(this.#req, res, this.next);
    } catch (thrown) {
      res.inHandler = outer;
      return this.next(thrown);
    }
    res.inHandler = outer;
    if (result instanceof Promise || typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
      (result as PromiseLike<unknown>).then(undefined, (failure) => this.next(failure || noReason()));
    }
  }

  /** Runs the handlers of the parameters in `names`, one after the other. */
  #callParams(names: string[], done: Next): void {
    const req = this.#req;
    let at = 0;
    const nextName: Next = (error) => {
      if (error || at >= names.length) return done(error);
      const name = names[at++] as string;
      const handlers = this.#routes.params.get(name);
      const value = req.params[name];
      if (!handlers || value === undefined) return nextName();
      const before = this.#seen?.get(name);
      if (before && (before.match === value || (before.error && before.error !== "route"))) {
        req.params[name] = before.value as string;
        return nextName(before.error);
      }
      const seen: Seen = { match: value, value, error: undefined };
      this.#seen ??= new Map();
      this.#seen.set(name, seen);
      this.#callParam(handlers, 0, name, value as string, seen, nextName);
    };
    nextName();
  }

  #callParam(handlers: ParamHandler[], at: number, name: string, value: string, seen: Seen, done: Next): void {
    const req = this.#req;
    const handler = handlers[at];
    if (!handler) return done();
    const next: Next = (error) => {
      seen.value = req.params[name];
      seen.error = error;
      if (error) done(error);
      else this.#callParam(handlers, at + 1, name, value, seen, done);
    };
    const outer = this.#res.inHandler;
    this.#res.inHandler = true;
    try {
      const result = handler(req, this.#res, next, value, name);
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        (result as PromiseLike<unknown>).then(undefined, (error) => next(error || noReason()));
      }
    } catch (thrown) {
      next(thrown);
    }
    this.#res.inHandler = outer;
  }

  #restoreUrl(): void {
    if (this.#removed === "") return;
    this.#req.leave(this.#removed, this.#slashAdded, this.#outerUrl);
    this.#removed = "";
    this.#slashAdded = false;
  }

  #leave(failure: unknown): void {
    const req = this.#req;
    this.#layerAt = this.#routes.stack.length;
    req.next = this.#outerNext;
    req.params = this.#outerParams;
    req.baseUrl = this.#outerUrl;
    if (!failure && this.#allowed?.length) return this.#answerOptions(this.#allowed);
    this.#done(failure);
  }

  /** OPTIONS that no route takes is answered by the methods that the path has, as Express does. */
  #answerOptions(methods: string[]): void {
    const allow = [...new Set(methods)].sort().join(", ");
    const res = this.#res;
    try {
      res.setHeader("Allow", allow);
      res.setHeader("Content-Length", allow.length);
      res.setHeader("Content-Type", "text/plain");
      res.setHeader("X-Content-Type-Options", "nosniff");
      res.end(allow);
    } catch (error) {
      this.#done(error);
    }
  }
}

function noReason(): Error {
  return new Error("a handler rejected with nothing");
}

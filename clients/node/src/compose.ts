/** Walks one call through the layers, as Express does: in order, `next()` by `next()`.
 *
 *  One object and one bound function for each call; none for each layer.
 */
import type { ErrorHandler, Handler, Layer, Next } from "./layer.js";
import type { Params } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";

/** Runs when no layer answered: with the error, or with undefined. */
export type Done = (error: unknown, req: Request, res: Response) => void;

/** Deeper than this, the stack is left first: thousands of layers that all go on must not overflow it. */
const DEPTH_MAX = 100;

/** @param error set: begins with the error handlers */
export function run(layers: readonly Layer[], req: Request, res: Response, done: Done, error?: unknown): void {
  new Walk(layers, req, res, done).next(error);
}

class Walk {
  readonly #layers: readonly Layer[];
  readonly #req: Request;
  readonly #res: Response;
  readonly #done: Done;
  readonly #path: string;
  readonly #parts: string[];
  #layerAt = -1;
  #handlerAt = 0;
  #handlers: readonly (Handler | ErrorHandler)[] = NONE;
  #depth = 0;

  constructor(layers: readonly Layer[], req: Request, res: Response, done: Done) {
    this.#layers = layers;
    this.#req = req;
    this.#res = res;
    this.#done = done;
    this.#path = req.canonicalPath;
    this.#parts = this.#path === "/" ? NO_PARTS : this.#path.slice(1).split("/");
  }

  readonly next: Next = (error) => {
    if (this.#depth >= DEPTH_MAX) {
      setImmediate(() => this.next(error));
      return;
    }
    this.#depth++;
    this.#step(error);
    this.#depth--;
  };

  /** Runs the next handler that is for this call, and for an error if there is one. */
  #step(error: unknown): void {
    // As in Express, what counts as false is no error.
    let failure: unknown = error === "route" || error === "router" || !error ? undefined : error;
    if (error === "route") this.#handlerAt = this.#handlers.length;
    if (error === "router") {
      this.#handlerAt = this.#handlers.length;
      this.#layerAt = this.#layers.length;
    }
    for (;;) {
      while (this.#handlerAt < this.#handlers.length) {
        const handler = this.#handlers[this.#handlerAt++] as Handler | ErrorHandler;
        const forErrors = handler.length === 4;
        if (forErrors !== (failure !== undefined)) continue;
        const thrown = this.#call(handler, failure);
        if (thrown === undefined) return;
        failure = thrown.error;
      }
      if (!this.#enterNextLayer(failure !== undefined)) return this.#finish(failure);
    }
  }

  /** Runs one handler; gives what it threw, in a box, since anything can be thrown. */
  #call(handler: Handler | ErrorHandler, failure: unknown): { error: unknown } | undefined {
    try {
      const result =
        failure === undefined
          ? (handler as Handler)(this.#req, this.#res, this.next)
          : (handler as ErrorHandler)(failure, this.#req, this.#res, this.next);
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        (result as PromiseLike<unknown>).then(undefined, this.#rejected);
      }
      return undefined;
    } catch (error) {
      return { error: error ?? new Error("a handler threw nothing") };
    }
  }

  readonly #rejected = (error: unknown): void => {
    this.next(error ?? new Error("a handler rejected with nothing"));
  };

  #enterNextLayer(failed: boolean): boolean {
    while (++this.#layerAt < this.#layers.length) {
      const layer = this.#layers[this.#layerAt] as Layer;
      // As in Express, an error passes by routes: only middleware may handle it.
      if (failed && layer.method !== undefined) continue;
      if (!layer.takes(this.#req.method)) continue;
      const params: Params = Object.create(null);
      const used = layer.match(this.#path, this.#parts, params);
      if (used < 0) continue;
      this.#handlers = layer.handlers;
      this.#handlerAt = 0;
      this.#req.enter(params, layer.method === undefined ? this.#parts.slice(0, used) : NO_PARTS);
      return true;
    }
    return false;
  }

  #finish(failure: unknown): void {
    this.#handlers = NONE;
    this.#handlerAt = 0;
    this.#layerAt = this.#layers.length;
    this.#req.enter(Object.create(null), NO_PARTS);
    this.#done(failure, this.#req, this.#res);
  }
}

const NONE: readonly never[] = [];
const NO_PARTS: string[] = [];

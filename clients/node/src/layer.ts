/** A layer: handlers and the paths they are for. */

import { match, type Params, type Segment } from "./pattern.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";

/** Goes on to the next handler; with an error, to the next error handler; `"route"` leaves this layer. */
export type Next = (error?: unknown) => void;
/** Answers, or calls `next`. What it throws, and what its promise rejects with, goes to the error handlers. */
export type Handler = (req: Request, res: Response, next: Next) => unknown;
/** Told apart by its four parameters, as in Express. Written as a method, so that a handler may call its error `Error`. */
export type ErrorHandler = {
  handle(error: unknown, req: Request, res: Response, next: Next): unknown;
}["handle"];

export class Layer {
  /** The HTTP method, `*` for any; undefined for middleware. */
  readonly method: string | undefined;
  readonly handlers: readonly (Handler | ErrorHandler)[];
  readonly #segments: Segment[];
  /** The whole path, where nothing in it varies: most layers of most apps. */
  readonly #fixed: string | undefined;

  constructor(method: string | undefined, segments: Segment[], handlers: readonly (Handler | ErrorHandler)[]) {
    this.method = method;
    this.handlers = handlers;
    this.#segments = segments;
    const fixed = segments.every((segment) => segment.kind === "static");
    if (fixed) this.#fixed = segments.map((segment) => `/${(segment as { text: string }).text}`).join("");
  }

  /** HEAD goes to GET's handlers. */
  takes(method: string): boolean {
    return (
      this.method === undefined ||
      this.method === method ||
      this.method === "*" ||
      (method === "HEAD" && this.method === "GET")
    );
  }

  /** How many segments of the path it is for, or -1; fills `params`.
   *  @param parts the segments of the canonical path `path` */
  match(path: string, parts: string[], params: Params): number {
    if (this.method === undefined) return match(this.#segments, parts, params, true);
    if (this.#fixed !== undefined) return this.#fixed === path ? parts.length : -1;
    return match(this.#segments, parts, params, false);
  }
}

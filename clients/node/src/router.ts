/** The layers of an app, in the order in which they were made, and the endpoints they declare. */
import { HeraError } from "./errors.js";
import { type ErrorHandler, type Handler, Layer } from "./layer.js";
import { BODY_BYTES_DEFAULT } from "./limits.js";
import { type EndpointOptions, endpointLimits } from "./options.js";
import { parseAppPattern, patternText, type Segment, shape } from "./pattern.js";

interface Declared {
  endpoint: string;
  options: EndpointOptions;
}

export class Router {
  readonly layers: Layer[] = [];
  /** By method and shape: the same endpoint twice is one declaration with two layers. */
  readonly #declared = new Map<string, Declared>();
  readonly #byEndpoint = new Map<string, Declared>();

  /** Adds handlers for an endpoint and declares it.
   *  @throws HeraError `bad_endpoint` with the pattern, or `bad_option` */
  route(method: string, pattern: unknown, rest: readonly unknown[]): void {
    const [first] = rest;
    const options = isOptions(first) ? (first as EndpointOptions) : {};
    const handlers = handlersOf(isOptions(first) ? rest.slice(1) : rest, `${method} ${String(pattern)}`);
    const segments = parseAppPattern(pattern);
    const endpoint = `${method} ${patternText(segments)}`;
    endpointLimits(endpoint, options);
    this.#declare(`${method} ${shape(segments)}`, endpoint, options);
    this.layers.push(new Layer(method, segments, handlers));
  }

  /** Adds middleware: for every path, or for those under `path`. Declares nothing. */
  use(args: readonly unknown[]): void {
    const [first] = args;
    const hasPath = typeof first === "string";
    const segments: Segment[] = !hasPath || first === "/" ? [] : parseAppPattern(first);
    this.layers.push(new Layer(undefined, segments, handlersOf(hasPath ? args.slice(1) : args, "use")));
  }

  /** Params of `declare`, as JSON. */
  declaration(): string {
    const endpoints = [...this.#declared.values()].map(({ endpoint, options }) => endpointLimits(endpoint, options));
    return JSON.stringify({ endpoints });
  }

  bodyRule(endpoint: string): { most: number; stream: boolean } {
    const options = this.#byEndpoint.get(endpoint)?.options;
    return { most: options?.bodyLimit ?? BODY_BYTES_DEFAULT, stream: options?.stream ?? false };
  }

  #declare(key: string, endpoint: string, options: EndpointOptions): void {
    const known = this.#declared.get(key);
    if (known) {
      known.options = { ...known.options, ...options };
      return;
    }
    const declared = { endpoint, options };
    this.#declared.set(key, declared);
    this.#byEndpoint.set(endpoint, declared);
  }
}

function isOptions(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function handlersOf(values: readonly unknown[], where: string): (Handler | ErrorHandler)[] {
  const handlers = values.flat(Number.POSITIVE_INFINITY);
  if (handlers.length === 0) throw new HeraError("bad_option", `${where}: no handler was given`);
  for (const handler of handlers) {
    if (typeof handler !== "function") throw new HeraError("bad_option", `${where}: ${typeof handler} is no handler`);
  }
  return handlers as (Handler | ErrorHandler)[];
}

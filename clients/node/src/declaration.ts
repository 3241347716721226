/** What an app declares to brokers: the endpoints of all its routes, through every router that is mounted. */

import { HeraError } from "./errors.js";
import type { Layer } from "./layer.js";
import { BODY_BYTES_DEFAULT } from "./limits.js";
import { type EndpointOptions, endpointLimits } from "./options.js";
import { endpointPatterns, joinPaths, shape } from "./pattern.js";
import type { Routes } from "./routes.js";

/** How a call's body is to be taken. */
export interface BodyRule {
  /** Largest size in bytes. */
  most: number;
  /** The handler reads it as it comes. */
  stream: boolean;
}

interface Declared {
  endpoint: string;
  options: EndpointOptions;
}

export class Declaration {
  /** By method and shape: the same endpoint twice is one declaration. */
  readonly #declared = new Map<string, Declared>();
  /** Of the endpoints that are no ordinary ones. In most apps there is none, and then no call is looked up. */
  readonly #rules = new Map<string, BodyRule>();

  /** @throws HeraError `bad_endpoint` for a route that brokers cannot match where it is mounted */
  constructor(routes: Routes) {
    this.#collect(routes, [""]);
    for (const [key, { endpoint }] of [...this.#declared]) {
      // A preflight asks with OPTIONS for whatever method it is about; `*` takes it anyway.
      const [method, pattern] = endpoint.split(" ") as [string, string];
      const path = key.slice(method.length);
      const has = ["OPTIONS", "*"].some((each) => this.#declared.has(each + path));
      if (!has) this.#declared.set(`OPTIONS${path}`, { endpoint: `OPTIONS ${pattern}`, options: {} });
    }
    for (const { endpoint, options } of this.#declared.values()) {
      const { bodyLimit: most = ORDINARY.most, stream = ORDINARY.stream } = options;
      if (most !== ORDINARY.most || stream !== ORDINARY.stream) this.#rules.set(endpoint, { most, stream });
    }
  }

  /** `METHOD /pattern/{name}`, in the order of the routes. */
  get endpoints(): string[] {
    return [...this.#declared.values()].map(({ endpoint }) => endpoint);
  }

  /** Params of `declare`, as JSON. */
  get params(): string {
    const endpoints = [...this.#declared.values()].map(({ endpoint, options }) => endpointLimits(endpoint, options));
    return JSON.stringify({ endpoints });
  }

  bodyRule(endpoint: string): BodyRule {
    return this.#rules.size === 0 ? ORDINARY : (this.#rules.get(endpoint) ?? ORDINARY);
  }

  #collect(routes: Routes, mounts: readonly string[]): void {
    for (const layer of routes.stack) {
      if (layer.routes) this.#collectMounted(layer, layer.routes, mounts);
      if (!layer.route) continue;
      for (const [method, options] of layer.route.endpoints) {
        for (const path of textsOf(layer)) {
          for (const mount of mounts)
            for (const pattern of endpointPatterns(joinPaths(mount, path))) this.#add(method, pattern, options);
        }
      }
    }
  }

  #collectMounted(layer: Layer, inner: Routes, mounts: readonly string[]): void {
    if (!hasRoutes(inner)) return;
    const paths = textsOf(layer).flatMap((path) => mounts.map((mount) => joinPaths(mount, path)));
    this.#collect(
      inner,
      paths.map((path) => (path === "/" ? "" : path)),
    );
  }

  #add(method: string, pattern: string, options: EndpointOptions): void {
    const key = `${method} ${shape(pattern)}`;
    const known = this.#declared.get(key);
    if (known) known.options = { ...known.options, ...options };
    else this.#declared.set(key, { endpoint: `${method} ${pattern}`, options });
  }
}

const ORDINARY: BodyRule = { most: BODY_BYTES_DEFAULT, stream: false };

function hasRoutes(routes: Routes): boolean {
  return routes.stack.some(({ route, routes: inner }) => route || (inner && hasRoutes(inner)));
}

/** @throws HeraError `bad_endpoint` for a regular expression, under which nothing can be declared */
function textsOf(layer: Layer): string[] {
  return layer.paths.map((path) => {
    if (typeof path === "string") return path;
    const why = "a broker cannot match a regular expression";
    throw new HeraError("bad_endpoint", `pattern ${String(path)} cannot be declared: ${why}`, {
      endpoints: [{ endpoint: String(path), code: "bad_endpoint", message: why }],
    });
  });
}

/** The app: what a user holds. Builds the parts and joins them. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Call } from "./call.js";
import { Clock } from "./clock.js";
import { run } from "./compose.js";
import { HeraError } from "./errors.js";
import { parseKey, type WorkerKey } from "./key.js";
import type { ErrorHandler, Handler } from "./layer.js";
import { Link, type LinkHost } from "./link.js";
import { LoadMeter } from "./load.js";
import type { EndpointOptions, Settings } from "./options.js";
import { Request } from "./request.js";
import { rescue } from "./rescue.js";
import { Response } from "./response.js";
import { Router } from "./router.js";
import { onSignals } from "./signals.js";
import { VERSION } from "./version.js";

type Mixed = (Handler | ErrorHandler | readonly (Handler | ErrorHandler)[])[];

/** Declares an endpoint: a pattern, options if any, handlers. */
export interface Route {
  // The plain forms stand apart so that a handler's parameters need no types written.
  (pattern: string, ...handlers: Handler[]): App;
  (pattern: string, options: EndpointOptions, ...handlers: Handler[]): App;
  (pattern: string, ...handlers: Mixed): App;
  (pattern: string, options: EndpointOptions, ...handlers: Mixed): App;
}

interface Attempt {
  resolve(): void;
  reject(error: HeraError): void;
}

export class App {
  readonly #settings: Settings;
  readonly #router = new Router();
  readonly #clock = new Clock();
  readonly #meter = new LoadMeter();
  readonly #instance = instanceName();
  #links: Link[] = [];
  #inFlight = 0;
  #connecting: { promise: Promise<void>; attempt: Attempt } | undefined;
  #connected = false;
  #closing: Promise<void> | undefined;
  #redeclaring = false;
  #stopSignals: (() => void) | undefined;
  /** Values of the app's own. */
  readonly locals: Record<string, unknown> = Object.create(null);

  readonly get: Route = this.#route("GET");
  readonly post: Route = this.#route("POST");
  readonly put: Route = this.#route("PUT");
  readonly patch: Route = this.#route("PATCH");
  readonly delete: Route = this.#route("DELETE");
  readonly head: Route = this.#route("HEAD");
  readonly options: Route = this.#route("OPTIONS");
  /** Any method. */
  readonly all: Route = this.#route("*");

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Adds middleware; a path in front limits it to what lies under that path. Declares nothing. */
  use(...handlers: Handler[]): this;
  use(...handlers: ErrorHandler[]): this;
  use(path: string, ...handlers: Handler[]): this;
  use(path: string, ...handlers: ErrorHandler[]): this;
  use(path: string, ...handlers: Mixed): this;
  use(...handlers: Mixed): this;
  use(...args: unknown[]): this {
    this.#router.use(args);
    return this;
  }

  /** Dials every broker, and serves.
   *
   *  Resolves, and calls back, when the first broker accepted the declaration. Rejects when a broker refuses the key
   *  (`unauthenticated`) or an endpoint (`declaration_refused`, see `error.endpoints`); brokers that cannot be reached are
   *  dialled again, for ever.
   *  @throws HeraError `bad_option` or `bad_key`, by rejecting */
  connect(callback?: () => void): Promise<void> {
    if (!this.#connecting) {
      const attempt: Attempt = { resolve() {}, reject() {} };
      const promise = new Promise<void>((resolve, reject) => Object.assign(attempt, { resolve, reject }));
      this.#connecting = { promise, attempt };
      try {
        this.#start();
      } catch (error) {
        this.#connecting = undefined;
        return Promise.reject(error);
      }
    }
    const { promise } = this.#connecting;
    return callback ? promise.then(callback) : promise;
  }

  /** Drains: takes no new calls, finishes what runs, closes. Calls that outlast `drainTimeout` are cut. */
  close(): Promise<void> {
    this.#closing ??= this.#drain().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  /** Brokers that send calls right now. */
  get brokers(): string[] {
    return this.#links.flatMap(({ session }) => (session?.isLive ? [session.broker] : []));
  }

  /** Calls in flight, over all brokers. */
  get inFlight(): number {
    return this.#inFlight;
  }

  #route(method: string): Route {
    return (pattern: unknown, ...rest: unknown[]) => {
      this.#router.route(method, pattern, rest);
      this.#redeclare();
      return this;
    };
  }

  #start(): void {
    const { brokers, secret, signals } = this.#settings;
    if (!brokers)
      throw new HeraError("bad_option", "no brokers: give the option brokers, or set HERA to hera://host:4372");
    const host = this.#host(readKey(secret));
    this.#clock.start();
    this.#meter.start();
    if (signals) this.#stopSignals = onSignals(() => this.close());
    this.#links = brokers.map((address) => new Link(address, host));
    for (const link of this.#links) link.start();
  }

  #host(key: WorkerKey): LinkHost {
    const { version, inFlight, log, ca } = this.#settings;
    return {
      key,
      instance: this.#instance,
      version,
      library: `hera-node ${VERSION}`,
      inFlightMax: inFlight,
      clock: this.#clock,
      log,
      ca,
      declaration: () => this.#router.declaration(),
      load: () => this.#meter.read(this.#inFlight),
      bodyRule: (endpoint) => this.#router.bodyRule(endpoint),
      start: (call, fault) => this.#serve(call, fault),
      counted: (difference) => {
        this.#inFlight += difference;
      },
      live: () => {
        this.#connected = true;
        this.#connecting?.attempt.resolve();
      },
      brokerDrains: () => {},
      closed: () => {},
      refused: (error) => this.#refused(error),
    };
  }

  /** One call: the layers in their order, and what is left over to the rescue. */
  #serve(call: Call, fault: HeraError | undefined): void {
    const { log } = this.#settings;
    const req = new Request(call, this.#router.bodyRule(call.endpoint).stream);
    const res = new Response(call, this.#responseHost);
    let failure: unknown = fault;
    if (!fault) {
      try {
        req.readBody();
      } catch (error) {
        failure = error;
      }
    }
    run(this.#router.layers, req, res, (error) => this.#rescue(call, res, error, log), failure);
  }

  #rescue(call: Call, res: Response, error: unknown, log: Settings["log"]): void {
    try {
      rescue(call, res, error, log);
    } catch (second) {
      // The user's own log may throw: the call must not hang for it.
      call.fail("handler_failed", "the handler failed; its log tells why");
      console.error("hera: the log failed:", second);
    }
  }

  readonly #responseHost = {
    answeredTwice: (error: HeraError): void => this.#settings.log.warn(error.message, error),
  };

  /** Endpoints that were added to a running app are declared once the current turn has added them all. */
  #redeclare(): void {
    if (this.#links.length === 0 || this.#redeclaring) return;
    this.#redeclaring = true;
    setImmediate(() => {
      this.#redeclaring = false;
      for (const { session } of this.#links) {
        if (!session?.isLive) continue;
        session.declare((error) => {
          if (error) this.#settings.log.error(`broker ${session.broker} refused the new endpoints:`, error);
        });
      }
    });
  }

  /** Before the first success a refusal ends the attempt; later it is only logged, since others may serve on. */
  #refused(error: HeraError): void {
    if (this.#connected) return;
    const attempt = this.#connecting?.attempt;
    this.#stop(error);
    attempt?.reject(error);
  }

  async #drain(): Promise<void> {
    if (this.#links.length === 0) return;
    const closed = new HeraError("closed", "the app was closed");
    const attempt = this.#connected ? undefined : this.#connecting?.attempt;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#settings.drainTimeout);
    });
    await Promise.race([Promise.all(this.#links.map((link) => link.drain())), late]);
    clearTimeout(timer);
    if (this.#inFlight > 0) this.#settings.log.warn(`${this.#inFlight} calls outlasted the drain and were cut`);
    this.#stop(closed);
    attempt?.reject(closed);
  }

  #stop(error: HeraError): void {
    for (const link of this.#links) link.stop(error);
    this.#links = [];
    this.#connecting = undefined;
    this.#connected = false;
    this.#clock.stop();
    this.#meter.stop();
    this.#stopSignals?.();
    this.#stopSignals = undefined;
  }
}

function readKey(secret: Settings["secret"]): WorkerKey {
  if (!secret) throw new HeraError("bad_option", "no worker key: give the option secret, or set SECRET or SECRET_FILE");
  if ("text" in secret) return parseKey(secret.text);
  try {
    return parseKey(readFileSync(secret.file, "utf8"));
  } catch (cause) {
    if (cause instanceof HeraError) throw cause;
    throw new HeraError("bad_option", `SECRET_FILE ${secret.file} cannot be read`, { cause });
  }
}

/** Unique per process, and readable: host, process, and random digits (P-14). */
function instanceName(): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .slice(0, 40);
  return `${host}-${process.pid}-${randomBytes(4).toString("hex")}`;
}

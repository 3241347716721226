/** The app: what a user holds. Builds the parts and joins them. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Readable } from "node:stream";
import type { Fields } from "./body.js";
import type { Call } from "./call.js";
import { Clock } from "./clock.js";
import { walk } from "./compose.js";
import { Declaration } from "./declaration.js";
import { type Discovery, discover } from "./discovery.js";
import { HeraError } from "./errors.js";
import { type InjectedReply, type InjectOptions, inject } from "./inject.js";
import { parseKey, type WorkerKey } from "./key.js";
import type { LinkHost } from "./link.js";
import { Links } from "./links.js";
import { LoadMeter } from "./load.js";
import type { Settings as Options } from "./options.js";
import type { ResponseHost } from "./outgoing.js";
import { RemoteCalls } from "./remote-calls.js";
import type { RemoteReply } from "./remote-reply.js";
import { type CallOptions, readRequest } from "./remote-request.js";
import type { RemoteSession } from "./remote-session.js";
import { stubbed } from "./remote-stub.js";
import { Request } from "./request.js";
import { rescue } from "./rescue.js";
import { Response } from "./response.js";
import { type RouteFunction, type Routing, routing } from "./router.js";
import { Routes, type RoutesOptions } from "./routes.js";
import type { Session } from "./session.js";
import { type MakeEtag, Settings } from "./settings.js";
import { onSignals } from "./signals.js";
import { VERSION } from "./version.js";

interface Attempt {
  resolve(): void;
  reject(error: HeraError): void;
}

/** `get` is both: with one text it gives a setting, with handlers it declares an endpoint. */
interface Get extends RouteFunction<App> {
  (setting: string): unknown;
}

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the routing functions are put on each app by its constructor.
export class App {
  readonly #options: Options;
  readonly #settings = new Settings();
  readonly #routes: Routes;
  readonly #clock = new Clock();
  readonly #meter = new LoadMeter();
  readonly #instance = instanceName();
  readonly #responseHost: ResponseHost = { late: (error) => this.#options.log.warn(error.message, error) };
  #declaration: Declaration | undefined;
  /** What there is between `connect()` and the end. */
  #running: { discovery: Discovery; links: Links } | undefined;
  #inFlight = 0;
  readonly #remoteCalls = new RemoteCalls(() => this.#callable(), this.#clock);
  #connecting: { promise: Promise<void>; attempt: Attempt } | undefined;
  #connected = false;
  #closing: Promise<void> | undefined;
  #redeclaring = false;
  #stopSignals: (() => void) | undefined;
  /** Values of the app's own. */
  locals: Record<string, unknown> = Object.assign(Object.create(null), { settings: this.#settings.values });

  constructor(given: Options) {
    this.#options = given;
    const { values } = this.#settings;
    // Settings may change until the layers are made, so they are read then.
    const options: RoutesOptions = {
      get caseSensitive() {
        return Boolean(values["case sensitive routing"]);
      },
      get strict() {
        return Boolean(values["strict routing"]);
      },
    };
    this.#routes = new Routes(options, false);
    this.#routes.onChange(() => this.#redeclare());
    const functions = routing(this.#routes, () => this);
    const { get } = functions as { get: (...args: unknown[]) => unknown };
    Object.assign(this, functions, {
      get: (path: unknown, ...args: unknown[]) =>
        args.length === 0 && typeof path === "string" ? this.#settings.values[path] : get(path, ...args),
      // CONNECT has no meaning here, and the name is taken.
      connect: (callback?: () => void) => this.#connect(callback),
    });
  }

  /** What was set, by name. */
  get settings(): Record<string, unknown> {
    return this.#settings.values;
  }

  /** Sets one of Express's settings: `json spaces`, `json replacer`, `json escape`, `query parser`, `etag`, `case sensitive
   *  routing`, `strict routing`, `jsonp callback name`, `subdomain offset`; any other name is kept for the app. With the name
   *  alone it gives the value.
   *  @throws HeraError `bad_option` */
  set(name: string): unknown;
  set(name: string, value: unknown): this;
  set(...args: [name: string, value?: unknown]): unknown {
    if (args.length === 1) return this.#settings.values[args[0]];
    this.#settings.set(args[0], args[1]);
    return this;
  }

  enable(name: string): this {
    return this.set(name, true);
  }

  disable(name: string): this {
    return this.set(name, false);
  }

  enabled(name: string): boolean {
    return Boolean(this.set(name));
  }

  disabled(name: string): boolean {
    return !this.set(name);
  }

  /** Answers one call with no broker and no connection: for tests of handlers.
   *
   *  The call goes where a broker would send it: by method and canonical path to an endpoint of this app; 404 and 405 as a broker
   *  gives them. Tokens, scopes and rates are not judged.
   *  @throws HeraError `bad_option` or `bad_endpoint`, by rejecting */
  inject(options: string | InjectOptions): Promise<InjectedReply> {
    return inject(options, {
      declaration: () => this.#declared(),
      serve: (call) => this.#serve(call, undefined),
    });
  }

  /** Calls an endpoint of a worker, `GET /0/users/42`, outside of any call; within a handler see `req.call`, which takes the call's
   *  request id, deadline and caller along. Resolves whatever the status.
   *  @throws HeraError where no worker answered, see `executed`; by rejecting */
  call(endpoint: string, options: CallOptions & { stream: true }): Promise<RemoteReply<Readable>>;
  call<Body = unknown>(endpoint: string, options?: CallOptions): Promise<RemoteReply<Body>>;
  call(endpoint: string, options: CallOptions = {}): Promise<RemoteReply> {
    return this.callWithin(undefined, endpoint, options);
  }

  /** @internal */
  async callWithin(call: Call | undefined, endpoint: string, options: CallOptions): Promise<RemoteReply> {
    const request = readRequest(endpoint, options, call);
    return call?.stub ? stubbed(call.stub, request, options.body) : this.#remoteCalls.make(request);
  }

  #connect(callback?: () => void): Promise<void> {
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
    return this.#sessions.map(({ broker }) => broker);
  }

  /** Calls in flight, over all brokers. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** @internal */
  get etag(): MakeEtag | undefined {
    return this.#settings.etag;
  }

  /** @internal */
  parseQuery(query: string | null): Fields {
    return this.#settings.parseQuery(query);
  }

  /** @internal */
  stringify(value: unknown): string | undefined {
    return this.#settings.stringify(value);
  }

  /** Those that are live. */
  get #sessions(): Session[] {
    return this.#running?.links.sessions.filter(({ isLive }) => isLive) ?? [];
  }

  #callable(): RemoteSession[] {
    return (this.#running?.links.sessions ?? []).map(({ remote }) => remote).filter(({ live }) => live);
  }

  #declared(): Declaration {
    this.#declaration ??= new Declaration(this.#routes);
    return this.#declaration;
  }

  #start(): void {
    const { source, secret, signals } = this.#options;
    if (!source) {
      throw new HeraError(
        "bad_option",
        "no brokers: give the option zk or brokers, or set HERA, to host:2181/chroot of zookeeper or to hera://host:4372",
      );
    }
    const host = this.#host(readKey(secret));
    this.#declared();
    this.#clock.start();
    this.#meter.start();
    if (signals) this.#stopSignals = onSignals(() => this.close());
    const links = new Links(host);
    const discovery = discover(source, this.#options, (brokers) => links.follow(brokers));
    this.#running = { discovery, links };
    discovery.start();
  }

  #host(key: WorkerKey): LinkHost {
    const { version, inFlight, log, ca } = this.#options;
    return {
      key,
      instance: this.#instance,
      version,
      library: `hera-node ${VERSION}`,
      inFlightMax: inFlight,
      clock: this.#clock,
      log,
      ca,
      declaration: () => this.#declared().params,
      load: () => this.#meter.read(this.#inFlight),
      bodyRule: (endpoint) => this.#declared().bodyRule(endpoint),
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
    const { most, stream } = this.#declared().bodyRule(call.endpoint);
    const req = new Request(this, call, stream);
    const res = new Response(this, req, call, this.#responseHost);
    let failure: unknown = fault;
    if (!fault) {
      try {
        req.body = req.parsedBody(most);
      } catch (error) {
        failure = error;
      }
    }
    walk(this.#routes, req, res, (error) => this.#rescue(call, res, error), failure);
  }

  #rescue(call: Call, res: Response, error: unknown): void {
    try {
      rescue(call, res, error, this.#options.log);
    } catch (second) {
      // What the handler threw, or the user's own log, may throw in its turn: the call must not hang for it.
      call.fail("handler_failed", "the handler failed; its log tells why");
      console.error("hera: answering an error failed:", second);
    }
  }

  /** Endpoints that were added to a running app are declared once the current turn has added them all. */
  #redeclare(): void {
    this.#declaration = undefined;
    if (!this.#running || this.#redeclaring) return;
    this.#redeclaring = true;
    setImmediate(() => {
      this.#redeclaring = false;
      try {
        this.#declared();
      } catch (error) {
        return this.#options.log.error("the new endpoints cannot be declared:", error);
      }
      for (const session of this.#sessions) {
        session.declare((error) => {
          if (error) this.#options.log.error(`broker ${session.broker} refused the new endpoints:`, error);
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
    if (!this.#running) return;
    const { discovery, links } = this.#running;
    const closed = new HeraError("closed", "the app was closed");
    const attempt = this.#connected ? undefined : this.#connecting?.attempt;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.drainTimeout);
    });
    await Promise.race([Promise.all([discovery.end(), links.drain()]), late]);
    clearTimeout(timer);
    if (this.#inFlight > 0) this.#options.log.warn(`${this.#inFlight} calls outlasted the drain and were cut`);
    this.#stop(closed);
    attempt?.reject(closed);
  }

  #stop(error: HeraError): void {
    void this.#running?.discovery.end();
    this.#running?.links.stop(error);
    this.#running = undefined;
    this.#connecting = undefined;
    this.#connected = false;
    this.#clock.stop();
    this.#meter.stop();
    this.#stopSignals?.();
    this.#stopSignals = undefined;
  }
}

export interface App extends Routing<App> {
  get: Get;
  /** Finds the brokers, dials every one, and serves.
   *
   *  Resolves, and calls back, when the first broker accepted the declaration. Rejects when a broker refuses the key
   *  (`unauthenticated`) or an endpoint (`declaration_refused`, see `error.endpoints`); brokers that cannot be reached, and
   *  ZooKeeper, are dialled again, for ever.
   *  @throws HeraError `bad_option`, `bad_key` or `bad_endpoint`, by rejecting */
  connect(callback?: () => void): Promise<void>;
}

function readKey(secret: Options["secret"]): WorkerKey {
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

/** Options of an app, from code and environment to typed values, once. */
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import { stateDir } from "./saved-list.js";
import { parseSource, type Source } from "./source.js";

/** Where the library writes what it has to say; `console` fits. */
export interface Log {
  warn(message: string, error?: unknown): void;
  error(message: string, error?: unknown): void;
}

export interface Options {
  /** Where brokers are found: ZooKeeper, `host:2181,host:2181/chroot` or the same behind `zk://`, `zks://` with TLS.
   *  Default: the environment variable `HERA`. */
  zk?: string | undefined;
  /** The same option by another name, and the one that counts where both are given: the brokers themselves,
   *  `hera://host:4372[,host:4372]`, or `heras://…` with TLS. */
  brokers?: string | undefined;
  /** The worker key. Default: `SECRET`, else the file that `SECRET_FILE` names. */
  secret?: string | undefined;
  /** Version of your service, shown beside its name. Default `"0"`. */
  version?: string | undefined;
  /** Drain and exit 0 on SIGTERM and SIGINT. Default true. */
  signals?: boolean | undefined;
  /** Default: `console.error`; false: silence. */
  log?: Log | false | undefined;
  /** Certificates, PEM, that those of brokers and of ZooKeeper's servers are checked against, where TLS is spoken.
   *  Default: those of Node. */
  ca?: string | Buffer | (string | Buffer)[] | undefined;
  /** Calls at once on each broker's connection, 1 to 65,535. Default 1,024. */
  inFlight?: number | undefined;
  /** How long `close()` and a signal wait for calls in flight, in ms. Default 30,000. */
  drainTimeout?: number | undefined;
}

/** Where to dial. */
export interface Address {
  host: string;
  port: number;
  tls: boolean;
}

/** Options of one endpoint; left out: the broker's defaults. */
export interface EndpointOptions {
  /** Milliseconds that a call may take, 1 to 300,000. Default 15,000. */
  timeout?: number | undefined;
  /** Largest body of a call in bytes. Default 1 MiB. */
  bodyLimit?: number | undefined;
  /** Calls of this endpoint at once on each broker's connection. */
  concurrency?: number | undefined;
  /** May a broker run it twice when a worker is lost? GET, HEAD, OPTIONS, PUT and DELETE always are. */
  idempotent?: boolean | undefined;
  /** Names of the request headers it wants; fewer cost less. Default: all. */
  headers?: string[] | undefined;
  /** The handler reads `req.stream` itself; nothing is gathered or parsed. Default false. */
  stream?: boolean | undefined;
}

/** Typed options; what is missing (`source`, `secret`) is only missed when the app connects. */
export interface Settings {
  source: Source | undefined;
  /** Where the saved list of brokers lies; none: nowhere. */
  stateDir: string | undefined;
  secret: { text: string } | { file: string } | undefined;
  version: string;
  signals: boolean;
  log: Log;
  ca: Options["ca"];
  inFlight: number;
  drainTimeout: number;
}

/** Reads options and environment.
 *  @throws HeraError `bad_option` */
export function readOptions(options: Options, env: Record<string, string | undefined>): Settings {
  const source = options.brokers ?? options.zk ?? (env.HERA || undefined);
  const secret = options.secret ?? (env.SECRET || undefined);
  const version = options.version ?? "0";
  if (!/^[A-Za-z0-9._+-]{1,64}$/.test(version)) {
    throw new HeraError("bad_option", `version ${JSON.stringify(version)} is not 1 to 64 of A-Z a-z 0-9 . _ + -`);
  }
  const file = env.SECRET_FILE;
  return {
    source: source === undefined ? undefined : parseSource(source),
    stateDir: stateDir(env),
    secret: secret !== undefined ? { text: secret } : file ? { file } : undefined,
    version,
    signals: options.signals ?? true,
    log: options.log === false ? silent : (options.log ?? stderr),
    ca: options.ca,
    inFlight: within("inFlight", options.inFlight ?? limits.in_flight_max, 1, 65_535),
    drainTimeout: within("drainTimeout", options.drainTimeout ?? 30_000, 0, 600_000),
  };
}

/** Checks the options of one endpoint and gives them as the wire wants them (P-28). */
export function endpointLimits(endpoint: string, options: EndpointOptions): Record<string, unknown> {
  const declared: Record<string, unknown> = { endpoint };
  const { timeout, bodyLimit, concurrency, idempotent, headers } = options;
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) throw new HeraError("bad_option", `${endpoint}: unknown option ${name}`);
  }
  if (timeout !== undefined) declared.timeout_ms = within(`${endpoint}: timeout`, timeout, 1, limits.timeout_ms_max);
  if (bodyLimit !== undefined) declared.body_bytes_max = within(`${endpoint}: bodyLimit`, bodyLimit, 0, 2 ** 40);
  if (concurrency !== undefined) declared.concurrency = within(`${endpoint}: concurrency`, concurrency, 1, 65_535);
  if (idempotent !== undefined) declared.idempotent = idempotent;
  if (headers !== undefined) declared.headers = headers.map((name) => name.toLowerCase());
  return declared;
}

function within(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new HeraError("bad_option", `${name} ${value} is not an integer from ${least} to ${most}`);
}

const KNOWN = new Set(["timeout", "bodyLimit", "concurrency", "idempotent", "headers", "stream"]);
const silent: Log = { warn() {}, error() {} };
const stderr: Log = { warn: toStderr, error: toStderr };

function toStderr(message: string, error?: unknown): void {
  if (error === undefined) console.error(`hera: ${message}`);
  else console.error(`hera: ${message}`, error);
}

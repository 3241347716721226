/** Codes that travel in error responses, with their JSON-RPC numbers. A test keeps this equal to spec/errors.md. */
export const wireCodes = {
  parse_error: -32700,
  invalid_request: -32600,
  unknown_method: -32601,
  invalid_params: -32602,
  internal_error: -32603,
  handler_failed: -32000,
  busy: -32001,
  draining: -32002,
  past_deadline: -32003,
  cancelled: -32004,
  handshake_required: -32010,
  unsupported_version: -32011,
  unauthenticated: -32012,
  handshake_timeout: -32013,
  overloaded: -32014,
  declaration_refused: -32020,
  bad_endpoint: -32021,
  duplicate_endpoint: -32022,
  endpoint_forbidden: -32023,
  too_many_endpoints: -32024,
  bad_frame: -32030,
  frame_too_large: -32031,
  credit_exceeded: -32032,
  bad_request: -32040,
  bad_path: -32041,
  forbidden: -32042,
  not_found: -32043,
  method_not_allowed: -32044,
  request_timeout: -32045,
  body_too_large: -32046,
  uri_too_long: -32047,
  rate_limited: -32048,
  head_too_large: -32049,
  bad_reply: -32050,
  worker_lost: -32051,
  no_worker: -32052,
  workers_busy: -32053,
  registry_unavailable: -32054,
  deadline_exceeded: -32055,
  drain_timeout: -32056,
  call_cycle: -32057,
  call_too_deep: -32058,
} as const;

export type WireCode = keyof typeof wireCodes;

/** Codes that only this library uses: each with what it means. The README's table is tested against it. */
export const localCodes = {
  bad_option: "an option or environment variable cannot be understood, or one is missing",
  bad_key: "the worker key is damaged or no worker key",
  bad_reply: "the broker's answer breaks the protocol",
  connection_lost: "the connection ended before the answer came",
  silent_broker: "no frame came for 8 s",
  answered_twice: "a handler answered a call a second time; the second answer was dropped",
  bad_body: "the body of a call, or of the answer to a remote call, is not what its content-type says",
  unsupported_charset: "the body of a call is in another charset than utf-8",
  unsupported_encoding: "the body of a call has a content-encoding that is not gzip, deflate or br",
  body_too_large: "the body of a call is over the endpoint's limit",
  body_reset: "the body of a call was cut short by its sender",
  reply_too_large:
    "the headers of an answer are over the protocol's limits, or the body of the answer to a remote call is over `bodyLimit`",
  no_broker: "a remote call was not made: no broker is connected",
  broker_lost: "the broker's connection ended before a remote call was answered",
  call_failed: "a remote call failed, and the handler that made it did not take the error",
  not_acceptable: "res.format has nothing that the caller accepts",
  closed: "the app was closed",
} as const;

export type Code = WireCode | keyof typeof localCodes;

/** One endpoint of a declaration that the broker refused (P-30). */
export interface RefusedEndpoint {
  endpoint: string;
  code: string;
  message: string;
}

export interface HeraErrorOptions {
  cause?: unknown;
  endpoints?: RefusedEndpoint[];
  /** HTTP status that the caller gets when a handler's error is this one. */
  status?: number | undefined;
  executed?: "no" | "maybe" | undefined;
  requestId?: string | undefined;
  retryAfter?: number | undefined;
}

/** Every error of this library. Decide by `code`; the text is for people. */
export class HeraError extends Error {
  override readonly name = "HeraError";
  readonly code: string;
  /** The refused endpoints, where the code is `declaration_refused`. */
  readonly endpoints: RefusedEndpoint[];
  /** HTTP status: that a caller gets when a handler's error is this one; of a remote call, that a caller over HTTP would have got. */
  readonly status: number | undefined;
  /** Of a remote call that failed: did a worker start on it? `no`: it is safe to make it again. */
  readonly executed: "no" | "maybe" | undefined;
  /** Of a remote call that failed: the request id, the same in every log. */
  readonly requestId: string | undefined;
  /** Of a remote call that failed: seconds after which it may be made again, where the broker said so. */
  readonly retryAfter: number | undefined;

  constructor(code: Code | (string & {}), message: string, options: HeraErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.endpoints = options.endpoints ?? [];
    this.status = options.status;
    this.executed = options.executed;
    this.requestId = options.requestId;
    this.retryAfter = options.retryAfter;
  }
}

const namesByNumber = new Map<number, WireCode>(
  Object.entries(wireCodes).map(([name, number]) => [number, name as WireCode]),
);

/** Reads the error object of a response (P-13): `data.code` decides, the number only where it is missing; and what a broker says of
 *  a remote call (P-52). */
export function fromWire(error: unknown): HeraError {
  const { code, message, data } = (error ?? {}) as { code?: unknown; message?: unknown; data?: unknown };
  const told = (typeof data === "object" && data !== null ? data : {}) as Record<string, unknown>;
  const name = typeof told.code === "string" ? told.code : (namesByNumber.get(code as number) ?? "internal_error");
  return new HeraError(name, typeof message === "string" ? message : name, {
    endpoints: refused(data),
    status: whole(told.status, 400, 599),
    executed: told.executed === "no" || told.executed === "maybe" ? told.executed : undefined,
    requestId: typeof told.request_id === "string" ? told.request_id : undefined,
    retryAfter: whole(told.retry_after, 0, 2 ** 31 - 1),
  });
}

function whole(value: unknown, least: number, most: number): number | undefined {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
    ? (value as number)
    : undefined;
}

function refused(data: unknown): RefusedEndpoint[] {
  const list = (data as { endpoints?: unknown } | undefined | null)?.endpoints;
  if (!Array.isArray(list)) return [];
  return list
    .filter((entry) => typeof entry === "object" && entry !== null)
    .map(({ endpoint, code, message }) => ({
      endpoint: String(endpoint),
      code: String(code),
      message: String(message),
    }));
}

/** The head of an error response; `id` is null for a fault that belongs to no request (P-12). */
export function errorHead(id: number | null, code: WireCode, message: string): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code: wireCodes[code], message, data: { code } })}}`;
}

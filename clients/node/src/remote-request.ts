/** A remote call as it was asked for: endpoint and options, checked and made into what goes on the wire (P-50). */
import { randomUUID } from "node:crypto";
import encodeUrl from "encodeurl";
import type { Call } from "./call.js";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import { type RemoteBody, readBody } from "./remote-body.js";

/** A value of a query: lists give the name once for each. */
export type QueryValue = string | number | boolean | bigint | Date | null | undefined;

/** Options of one remote call. */
export interface CallOptions {
  /** Names and values, or text. What is null or undefined is left out. */
  query?: string | URLSearchParams | { [name: string]: QueryValue | readonly QueryValue[] } | undefined;
  /** By name. Those that belong to one connection or to the bus are left out, so that `req.headers` can be given as it is. */
  headers?:
    | { readonly [name: string]: string | number | readonly string[] | undefined }
    | Iterable<readonly [string, string]>
    | undefined;
  /** Text, bytes, `URLSearchParams`, a stream or async iterable of text or bytes; anything else goes as JSON. */
  body?: unknown;
  /** Milliseconds that it may take, or text such as `2s` or `1500ms`, at most 300 s. The time that is left of the call within which it
   *  is made holds too. */
  timeout?: number | string | undefined;
  /** Cancels it. */
  signal?: AbortSignal | undefined;
  /** Whether the body of the answer is a stream. Default false: it is gathered and parsed. */
  stream?: boolean | undefined;
  /** Largest body of the answer in bytes, where it is gathered. Default 64 MiB. */
  bodyLimit?: number | undefined;
}

export interface RemoteRequest {
  method: string;
  target: string;
  requestId: string;
  headers: [string, string][];
  body: RemoteBody;
  /** Milliseconds; undefined leaves it to the endpoint. */
  timeout: number | undefined;
  signal: AbortSignal | undefined;
  stream: boolean;
  bodyLimit: number;
  /** The call within which it is made. */
  within: Call | undefined;
}

/** @throws HeraError `bad_option`, or as a broker would refuse it, `uri_too_long` or `bad_request` */
export function readRequest(endpoint: string, options: CallOptions, within: Call | undefined): RemoteRequest {
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) throw new HeraError("bad_option", `call: unknown option ${name}`);
  }
  const [, method, path] = ENDPOINT.exec(endpoint) ?? [];
  if (!method || !path) {
    throw new HeraError("bad_option", `call ${JSON.stringify(endpoint)} is not a method, a space and a path`);
  }
  const body = readBody(options.body);
  const requestId = within?.params.request_id ?? randomUUID();
  return {
    method: method.toUpperCase(),
    target: targetOf(path, options.query, requestId),
    requestId,
    headers: headersOf(options.headers, body, requestId),
    body,
    timeout: timeoutOf(options.timeout),
    signal: options.signal,
    stream: options.stream ?? false,
    bodyLimit: bodyLimitOf(options.bodyLimit),
    within,
  };
}

/** Params of the wire's `call`, as JSON.
 *  @param timeout what is left, in whole milliseconds */
export function paramsOf(request: RemoteRequest, timeout: number | undefined): string {
  const { method, target, headers, requestId, within, body } = request;
  return JSON.stringify({
    method,
    target,
    headers,
    request_id: requestId,
    caller: within && callerOf(within),
    trace: within?.params.trace,
    timeout_ms: timeout,
    chain: within?.chainWithin,
    more: body.more || undefined,
  });
}

/** Who called at the beginning; what service calls now, the broker knows by itself. */
function callerOf({ params }: Call): object | undefined {
  if (!params.caller) return undefined;
  const { token, labels, ip } = params.caller;
  return { token, labels, ip };
}

function targetOf(path: string, query: CallOptions["query"], requestId: string): string {
  const search = queryOf(query);
  const joint = path.includes("?") ? "&" : "?";
  const target = encodeUrl(search === "" ? path : path + joint + search);
  if (target.length <= limits.request_target_bytes_max) return target;
  const text = `path and query of ${target.length} bytes exceed the limit of ${limits.request_target_bytes_max}`;
  throw new HeraError("uri_too_long", text, { status: 414, executed: "no", requestId });
}

function queryOf(query: CallOptions["query"]): string {
  if (query === undefined) return "";
  if (typeof query === "string") return query.startsWith("?") ? query.slice(1) : query;
  if (query instanceof URLSearchParams) return query.toString();
  const search = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat() as QueryValue[]) {
      if (value === undefined || value === null) continue;
      if (typeof value === "object" && !(value instanceof Date)) {
        throw new HeraError("bad_option", `query ${name} is an object: a query has texts, numbers, and lists of them`);
      }
      search.append(name, value instanceof Date ? value.toISOString() : String(value));
    }
  }
  return search.toString();
}

function headersOf(given: CallOptions["headers"], body: RemoteBody, requestId: string): [string, string][] {
  const headers: [string, string][] = [];
  let typed = false;
  let bytes = 0;
  const add = (name: string, value: string): void => {
    headers.push([name, value]);
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  };
  for (const [key, values] of pairsOf(given)) {
    const name = key.toLowerCase();
    for (const each of [values].flat()) {
      if (each === undefined || each === null) continue;
      const value = String(each);
      if (isNotTheCallers(name, value)) continue;
      if (name === "content-encoding" && !body.encoded) continue;
      if (name === "content-type") {
        if (!body.keeps(value)) continue;
        typed = true;
      }
      add(name, value);
    }
  }
  if (!typed && body.type !== undefined) add("content-type", body.type);
  if (headers.length <= limits.call_headers_max && bytes <= limits.call_header_bytes_max) return headers;
  const most = `${limits.call_headers_max} headers of ${limits.call_header_bytes_max} bytes`;
  const text = `${headers.length} headers of ${bytes} bytes exceed the limit of ${most}`;
  throw new HeraError("bad_request", text, { status: 400, executed: "no", requestId });
}

function pairsOf(headers: CallOptions["headers"]): Iterable<readonly [string, unknown]> {
  if (headers === undefined) return [];
  return Symbol.iterator in headers ? (headers as Iterable<readonly [string, string]>) : Object.entries(headers);
}

/** Headers of one connection, of the bus, or with a token of Hera's (P-50): a call between workers has none of them. */
function isNotTheCallers(name: string, value: string): boolean {
  if (name === "authorization") return HERA_TOKEN.test(value);
  return NOT_THE_CALLERS.has(name) || name.startsWith("hera-") || name.startsWith("proxy-");
}

function timeoutOf(given: CallOptions["timeout"]): number | undefined {
  if (given === undefined) return undefined;
  const [, number, unit] = TIMEOUT.exec(String(given)) ?? [];
  const milliseconds = typeof given === "number" ? given : Number(number) * (unit === "s" ? 1_000 : 1);
  if (milliseconds >= 1 && milliseconds <= limits.timeout_ms_max) return milliseconds;
  const text = `timeout ${given} is not milliseconds, or text such as 2s or 1500ms, from 1 to ${limits.timeout_ms_max} ms`;
  throw new HeraError("bad_option", text);
}

function bodyLimitOf(given: number | undefined): number {
  if (given === undefined) return BODY_LIMIT_DEFAULT;
  if (Number.isInteger(given) && given >= 0) return given;
  throw new HeraError("bad_option", `bodyLimit ${given} is not a number of bytes`);
}

const ENDPOINT = /^([!#$%&'*+\-.^_`|~A-Za-z0-9]{1,32}) (\/.*)$/;
const TIMEOUT = /^(\d+(?:\.\d+)?)(ms|s)$/;
const HERA_TOKEN = /^bearer\s+hera_/i;
const BODY_LIMIT_DEFAULT = 64 * 1_048_576;
const KNOWN = new Set(["query", "headers", "body", "timeout", "signal", "stream", "bodyLimit"]);
const NOT_THE_CALLERS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-request-id",
]);

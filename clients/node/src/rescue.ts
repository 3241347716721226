/** Where errors and misses become answers: the only such place. */
import { STATUS_CODES } from "node:http";
import type { Call } from "./call.js";
import { HeraError } from "./errors.js";
import type { Log } from "./options.js";
import type { Response } from "./response.js";

/** Answers a call that no handler answered.
 *
 *  An error with a `status` or `statusCode` of 400 to 599, as Express knows them, gives that status, else the response's own
 *  status where that is an error's; any other is `handler_failed`. Its text goes to the log alone: who calls must not learn
 *  what broke. */
export function rescue(call: Call, res: Response, failure: unknown, log: Log): void {
  if (!failure) {
    if (!res.headersSent) problem(call, res, 404, "not_found", "no handler of this worker answers this path");
    return;
  }
  // A handler that stopped because its caller left did what it was asked to.
  if (!call.live && (failure as Error | null)?.name === "AbortError") return;
  if (!call.live && failure === call.signal.reason) return;
  if (failure instanceof HeraError && failure.executed !== undefined) return rescueRemote(call, res, failure, log);
  const own = statusOf(failure);
  const status = own ?? (res.statusCode >= 400 && res.statusCode <= 599 ? res.statusCode : undefined);
  if (status === undefined || status >= 500) {
    log.error(`${call.params.method} ${call.params.path} (${call.params.request_id}) failed:`, failure);
  }
  if (res.headersSent) return cutShort(call, res);
  if (status === undefined) return call.fail("handler_failed", "the handler failed; its log tells why");
  const known = failure instanceof HeraError;
  const headers = own === undefined ? undefined : (failure as { headers?: unknown }).headers;
  if (typeof headers === "object" && headers !== null) {
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  }
  problem(call, res, status, known ? failure.code : "handler_error", known ? failure.message : undefined);
}

/** A remote call failed, and the handler did not take the error. Its caller asked nothing of that other service, so that it learns
 *  what kind of failure it was and not its text; and never the failure's own code, which would tell what became of the caller's call. */
function rescueRemote(call: Call, res: Response, failure: HeraError, log: Log): void {
  // Cancelled together with the call within which it was made.
  if (!call.live) return;
  log.error(`${call.params.method} ${call.params.path} (${call.params.request_id}) failed:`, failure);
  if (res.headersSent) return cutShort(call, res);
  const { code, status = 502, retryAfter } = failure;
  if (retryAfter !== undefined) res.setHeader("retry-after", retryAfter);
  problem(call, res, PASSED_ON.has(status) ? status : 502, "call_failed", `a remote call failed: ${code}`);
}

/** An answer that was begun cannot be taken back: its reader has to see that it is cut short. */
function cutShort(call: Call, res: Response): void {
  if (!res.writableEnded || call.output?.over === false) call.cut();
}

function problem(call: Call, res: Response, status: number, code: string, detail: string | undefined): void {
  const gone = ["content-encoding", "content-language", "content-range", "content-length", "etag", "last-modified"];
  for (const name of gone) res.removeHeader(name);
  const title = STATUS_CODES[status] ?? "Error";
  const body = { type: "about:blank", title, status, code, detail, request_id: call.params.request_id };
  const text = JSON.stringify(body);
  res.statusCode = status;
  res.setHeader("content-type", "application/problem+json");
  res.setHeader("content-length", Buffer.byteLength(text));
  res.end(call.params.method === "HEAD" ? undefined : text);
}

function statusOf(failure: unknown): number | undefined {
  if (typeof failure !== "object" || failure === null) return undefined;
  const { status, statusCode } = failure as { status?: unknown; statusCode?: unknown };
  for (const each of [status, statusCode]) {
    if (Number.isInteger(each) && (each as number) >= 400 && (each as number) <= 599) return each as number;
  }
  return undefined;
}

/** No worker, no time, no end: so it is for who called us too. What the service may not, or asked wrongly, is 502. */
const PASSED_ON = new Set([503, 504, 508]);

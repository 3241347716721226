/** Where errors and misses become answers: the only such place. */
import { STATUS_CODES } from "node:http";
import type { Call } from "./call.js";
import { HeraError } from "./errors.js";
import type { Log } from "./options.js";
import type { Response } from "./response.js";

/** Answers a call that no handler answered.
 *
 *  An error with a `status` or `statusCode` of 400 to 599, as Express knows them, gives that status; any other is
 *  `handler_failed`. Its text goes to the log alone: who calls must not learn what broke. */
export function rescue(call: Call, res: Response, failure: unknown, log: Log): void {
  if (failure === undefined) {
    if (!res.headersSent) problem(call, res, 404, "not_found", "no handler of this worker answers this path");
    return;
  }
  // A handler that stopped because its caller left did what it was asked to.
  if (!call.live && (failure as Error | null)?.name === "AbortError") return;
  if (!call.live && failure === call.signal.reason) return;
  const status = statusOf(failure);
  if (status === undefined || status >= 500) {
    log.error(`${call.params.method} ${call.params.path} (${call.params.request_id}) failed:`, failure);
  }
  if (res.headersSent) {
    // An answer that was begun cannot be taken back: its reader has to see that it is cut short.
    if (!res.writableEnded) call.output?.reset("handler_failed");
    return;
  }
  if (status === undefined) return call.fail("handler_failed", "the handler failed; its log tells why");
  const own = failure instanceof HeraError;
  problem(call, res, status, own ? failure.code : "handler_error", own ? failure.message : undefined);
}

function problem(call: Call, res: Response, status: number, code: string, detail: string | undefined): void {
  for (const name of ["content-encoding", "content-length", "etag", "last-modified"]) res.removeHeader(name);
  const title = STATUS_CODES[status] ?? "Error";
  const body = { type: "about:blank", title, status, code, detail, request_id: call.params.request_id };
  res.status(status).set("content-type", "application/problem+json").send(JSON.stringify(body));
}

function statusOf(failure: unknown): number | undefined {
  if (typeof failure !== "object" || failure === null) return undefined;
  const { status, statusCode } = failure as { status?: unknown; statusCode?: unknown };
  for (const each of [status, statusCode]) {
    if (Number.isInteger(each) && (each as number) >= 400 && (each as number) <= 599) return each as number;
  }
  return undefined;
}

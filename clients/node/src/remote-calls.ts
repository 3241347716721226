/** Remote calls of an app: by which broker, and what to do when that one cannot (P-56). */
import type { Clock } from "./clock.js";
import { HeraError } from "./errors.js";
import type { Outcome } from "./remote-call.js";
import { type RemoteReply, replyOf } from "./remote-reply.js";
import type { RemoteRequest } from "./remote-request.js";
import type { RemoteSession } from "./remote-session.js";

export class RemoteCalls {
  readonly #sessions: () => RemoteSession[];
  readonly #clock: Clock;
  readonly #random: () => number;

  /** @param sessions those with which calls may be made now
   *  @param random gives 0 to 1; passed in so that tests can seed it */
  constructor(sessions: () => RemoteSession[], clock: Clock, random: () => number = Math.random) {
    this.#sessions = sessions;
    this.#clock = clock;
    this.#random = random;
  }

  /** Makes a call, and makes it again where that is safe.
   *  @throws HeraError by rejecting */
  async make(request: RemoteRequest): Promise<RemoteReply> {
    const deadline = this.#deadline(request);
    const tried = new Set<RemoteSession>();
    let before: HeraError | undefined;
    /** Whether a worker may have started on it, whatever a later broker says. */
    let begun = false;
    let resent = false;
    try {
      for (;;) {
        const timeout = this.#remaining(request, deadline);
        const session = this.#choose(tried, before);
        const outcome = await this.#attempt(session, request, timeout);
        if ("status" in outcome) return replyOf(outcome, request.bodyLimit, request.requestId);
        const { error, lost } = outcome;
        if (request.body.pieces?.begun) throw error;
        if (lost ? resent || !mayRunTwice(request, error) : error.code !== "no_worker") throw error;
        resent ||= lost;
        begun ||= error.executed === "maybe";
        tried.add(session);
        before = error;
      }
    } catch (error) {
      request.body.pieces?.stop();
      throw told(error, request, begun);
    }
  }

  /** Milliseconds of the clock; undefined where only the endpoint limits it. */
  #deadline({ within, timeout }: RemoteRequest): number | undefined {
    const own = timeout === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + timeout;
    const deadline = Math.min(own, within?.deadline ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(deadline) ? deadline : undefined;
  }

  /** What is left of its time, in whole milliseconds.
   *  @throws HeraError where nothing is, or where nobody waits */
  #remaining({ within, signal, body }: RemoteRequest, deadline: number | undefined): number | undefined {
    if (signal?.aborted || within?.gone) {
      const cause = within?.gone ?? signal?.reason;
      throw new HeraError("cancelled", "the call was cancelled", { executed: "no", cause });
    }
    const cause = body.pieces?.failure;
    if (cause) throw new HeraError("cancelled", "its body could not be read", { status: 502, executed: "no", cause });
    if (deadline === undefined) return undefined;
    const left = deadline - this.#clock.now();
    if (left > 0) return Math.ceil(left);
    throw new HeraError("deadline_exceeded", "the deadline passed", { status: 504, executed: "no" });
  }

  /** One broker, once. */
  #attempt(session: RemoteSession, request: RemoteRequest, timeout: number | undefined): Promise<Outcome> {
    const from = this.#clock.now();
    return new Promise((resolve) => {
      session.call(request, timeout, (outcome) => {
        const now = this.#clock.now();
        const took = cost(outcome, now - from);
        if (took !== undefined) session.latency.measured(took, now);
        resolve(outcome);
      });
    });
  }

  /** Of two brokers at random the one with less to do, by what is in flight there and how long it takes; one that drains only where
   *  there is no other.
   *  @param before why the one before could not
   *  @throws HeraError where there is none */
  #choose(tried: Set<RemoteSession>, before: HeraError | undefined): RemoteSession {
    const live = this.#sessions();
    const offered = live.filter((session) => session.offered && !tried.has(session));
    const free = offered.filter((session) => !session.full);
    const staying = free.filter((session) => !session.drains);
    const candidates = staying.length > 0 ? staying : free;
    const first = this.#take(candidates);
    if (!first) throw before ?? none(live, offered);
    const second = this.#take(candidates);
    const now = this.#clock.now();
    return second && weight(second, now) < weight(first, now) ? second : first;
  }

  #take(from: RemoteSession[]): RemoteSession | undefined {
    const [taken] = from.splice(Math.floor(this.#random() * from.length), 1);
    return taken;
  }
}

function weight({ inFlight, latency }: RemoteSession, now: number): number {
  return (inFlight + 1) * latency.read(now);
}

/** What the broker itself took: the worker's time says nothing of it. One that fails fast must not look idle. */
function cost(outcome: Outcome, took: number): number | undefined {
  if ("status" in outcome) return Math.max(0, took - outcome.meta.workerMs);
  const { status, code } = outcome.error;
  if (code === "cancelled") return undefined;
  return (status ?? 500) >= 500 ? Math.max(FAILURE_MS, took) : took;
}

/** After the connection was lost (D1): nothing of it was handed over, or it does no harm twice and its body was not streamed. */
function mayRunTwice({ method, body }: RemoteRequest, { executed }: HeraError): boolean {
  return executed === "no" || (IDEMPOTENT.has(method) && !body.more);
}

function none(live: RemoteSession[], offered: RemoteSession[]): HeraError {
  if (live.length === 0) return new HeraError("no_broker", "no broker is connected", { status: 503, executed: "no" });
  if (offered.length > 0) {
    const most = `${offered[0]?.inFlightMax} remote calls are in flight by each broker`;
    return new HeraError("overloaded", `${most}: make fewer at once, or raise the option inFlight`, {
      status: 503,
      executed: "no",
    });
  }
  return new HeraError("unknown_method", "the connected brokers take no remote calls: bring them up to date", {
    executed: "no",
  });
}

/** The error as the handler sees it: made here, so that its stack leads to the handler. */
function told(error: unknown, { method, target, requestId }: RemoteRequest, begun: boolean): unknown {
  if (!(error instanceof HeraError)) return error;
  const { code, message, status, retryAfter, cause } = error;
  const executed = begun ? "maybe" : (error.executed ?? "maybe");
  const end = target.indexOf("?");
  const path = end < 0 ? target : target.slice(0, end);
  return new HeraError(code, `${method} ${path}: ${message}`, {
    status,
    executed,
    retryAfter,
    requestId: error.requestId ?? requestId,
    cause,
  });
}

const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const FAILURE_MS = 1_000;

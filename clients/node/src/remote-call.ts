/** A remote call on one connection, from its frame to the end of its bodies (P-50 to P-54).
 *
 *      waiting ── answer ──> its body comes, ours may still go ──> over
 *         └── refused, cancelled, too late, connection lost ────────^
 */
import { HeraError } from "./errors.js";
import { ANSWER_MS_MAX, limits } from "./limits.js";
import { type Answer, type Meta, ReplyStream } from "./remote-reply.js";
import { paramsOf, type RemoteRequest } from "./remote-request.js";
import { type BodyWire, Gather, IncomingBody, OutgoingBody } from "./stream.js";

/** What a remote call needs of the session that it goes by. */
export interface RemoteHost {
  readonly open: boolean;
  /** How often bytes were handed to the socket. */
  readonly writes: number;
  frame(head: string, attachment?: Buffer | string): void;
  offer(body: OutgoingBody): void;
  withdraw(body: OutgoingBody): void;
  /** It is over: nothing more is sent or heard for it. */
  over(call: RemoteCall): void;
}

/** Why there is no answer. */
export interface Failed {
  error: HeraError;
  /** Whether the connection ended before the answer. */
  lost: boolean;
}

export type Outcome = Answer | Failed;

export class RemoteCall {
  readonly id: number;
  readonly #host: RemoteHost;
  readonly #request: RemoteRequest;
  readonly #expires: number;
  /** What `writes` was before its frame: once it is more, bytes of the frame were handed over. */
  readonly #before: number;
  #settle: ((outcome: Outcome) => void) | undefined;
  #answered = false;
  #over = false;
  #input: IncomingBody | undefined;
  #output: OutgoingBody | undefined;
  /** Listens to the signal, where there is one. */
  #aborted: (() => void) | undefined;

  /** Sends it.
   *  @param timeout milliseconds, which the broker counts too; undefined where the endpoint has its own
   *  @param settle gets the outcome, once; runs in the reader's turn, so it must not run application code (P-27) */
  constructor(
    host: RemoteHost,
    id: number,
    request: RemoteRequest,
    timeout: number | undefined,
    now: number,
    settle: (outcome: Outcome) => void,
  ) {
    this.#host = host;
    this.id = id;
    this.#request = request;
    this.#expires = now + (timeout ?? limits.timeout_ms_max) + ANSWER_MS_MAX;
    this.#before = host.writes;
    this.#settle = settle;
    this.#send(timeout);
    const { within, signal } = request;
    within?.keep(this);
    if (!signal) return;
    this.#aborted = () => this.abandon(signal.reason);
    signal.addEventListener("abort", this.#aborted);
  }

  /** Whether the time is over in which an answer can come. A body that a handler reads as it comes has the time that it takes. */
  expired(now: number): boolean {
    return now >= this.#expires && !(this.#answered && this.#request.stream);
  }

  /** The response to it, and what came with it. */
  answer(error: HeraError | undefined, result: unknown, attachment: Buffer): void {
    if (error) return this.#end(this.#told(error));
    const answer = readAnswer(result);
    if (!answer) {
      const text = "the broker's answer is none: a status of 200 to 599 and headers without control bytes";
      return this.cancel(this.#failure("bad_reply", text, 502));
    }
    this.#answered = true;
    const { more, ...head } = answer;
    if (!more) {
      const body = this.#request.stream ? new ReplyStream(attachment, undefined) : attachment;
      this.#settled({ ...head, body });
      return this.#check();
    }
    this.#input = new IncomingBody(this.#wire("reply"), () => this.#check());
    if (this.#request.stream) return this.#settled({ ...head, body: new ReplyStream(attachment, this.#input) });
    const most = this.#request.bodyLimit;
    this.#input.sink = new Gather(this.#input, attachment, most, (error, whole) => {
      if (error?.code === "body_too_large") {
        const text = `the body of the answer is over ${most} bytes: raise bodyLimit, or take it as a stream`;
        this.#settled({ error: this.#failure("reply_too_large", text, 502), lost: false });
      } else this.#settled(error ? { error, lost: false } : { ...head, body: whole });
    });
  }

  /** Gives false where it is more than was granted, which is fatal (P-39). */
  chunk(attachment: Buffer): boolean {
    return this.#input?.chunk(attachment) ?? true;
  }

  replyEnded(): void {
    this.#input?.end();
  }

  /** The answer's body was cut short. */
  replyReset(code: unknown): void {
    const name = typeof code === "string" ? code : "worker_lost";
    const status = name === "deadline_exceeded" ? 504 : 502;
    if (this.#input) this.#end(this.#failure(name, "the body of the answer was cut short", status));
  }

  /** Nobody reads on what we send. */
  callReset(): void {
    if (!this.#output) return;
    this.#host.withdraw(this.#output);
    this.#output.stop();
  }

  /** Gives false where the credit is more than can be. */
  credit(bytes: number): boolean {
    const { pieces } = this.#request.body;
    if (this.#output && pieces && !pieces.begun) void pieces.sendTo(this.#output);
    return this.#output?.credit(bytes) ?? true;
  }

  /** Tells the broker that nobody waits any more, and fails what is left of it. */
  cancel(error: HeraError): void {
    if (this.#over) return;
    this.#host.frame(`{"jsonrpc":"2.0","method":"cancel","params":{"id":${this.id},"remote":true}}`);
    this.callReset();
    this.#end(error);
  }

  /** Nobody waits: the caller of the call within which it was made left, or the signal aborted. */
  abandon(cause: unknown): void {
    this.cancel(this.#failure("cancelled", "the call was cancelled", undefined, cause));
  }

  /** No answer came in time. */
  expire(): void {
    this.cancel(this.#failure("deadline_exceeded", "no answer before the deadline", 504));
  }

  /** The connection ended. */
  lost(cause: HeraError): void {
    const text = this.#answered ? "the connection ended within the answer" : "the connection ended before the answer";
    const executed = this.#host.writes > this.#before ? "maybe" : "no";
    this.#end(this.#failure("broker_lost", text, 502, cause, executed), !this.#answered);
  }

  #send(timeout: number | undefined): void {
    const { whole, pieces, more } = this.#request.body;
    const params = paramsOf(this.#request, timeout);
    const head = `{"jsonrpc":"2.0","id":${this.id},"method":"call","params":${params}}`;
    if (!more) return this.#host.frame(head, whole);
    const output = new OutgoingBody(
      this.#wire("call"),
      () => this.#host.offer(output),
      () => this.#check(),
    );
    this.#output = output;
    if (pieces) {
      this.#host.frame(head);
      pieces.onFailure = (cause) => this.cancel(this.#failure("cancelled", "its body could not be read", 502, cause));
      // What is refused before anybody took of it may go to another broker.
      output.onOver = (whole) => {
        if (!whole && (pieces.begun || this.#answered)) pieces.stop();
      };
    } else {
      const bytes = whole as Buffer;
      this.#host.frame(head, bytes.subarray(0, limits.attachment_bytes_max));
      output.write(bytes.subarray(limits.attachment_bytes_max));
      output.end();
    }
  }

  #settled(outcome: Outcome): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(outcome);
  }

  /** Over when both of its bodies have ended (P-41). */
  #check(): void {
    if (this.#settle || !(this.#input?.ended ?? true) || !(this.#output?.over ?? true)) return;
    this.#finish();
  }

  /** Ends whatever is left of it, with an error to all who wait. */
  #end(error: HeraError, lost = false): void {
    if (this.#over) return;
    this.#settled({ error, lost });
    if (this.#output) {
      this.#host.withdraw(this.#output);
      this.#output.reset("cancelled");
    }
    this.#input?.fail(error);
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#host.over(this);
    const { within, signal } = this.#request;
    within?.forget(this);
    if (this.#aborted) signal?.removeEventListener("abort", this.#aborted);
  }

  /** An error of the broker's, with what it left out. */
  #told(error: HeraError): HeraError {
    const { code, message, status, retryAfter, requestId = this.#request.requestId } = error;
    // A request that the broker could not read reached nobody.
    const executed = error.executed ?? (NEVER_SENT_ON.has(code) ? "no" : "maybe");
    return new HeraError(code, message, { status, executed, retryAfter, requestId });
  }

  #failure(
    code: string,
    text: string,
    status: number | undefined,
    cause?: unknown,
    executed: "no" | "maybe" = "maybe",
  ): HeraError {
    return new HeraError(code, text, { status, executed, requestId: this.#request.requestId, cause });
  }

  #wire(body: "call" | "reply"): BodyWire {
    const fields = `"id":${this.id},"remote":true,"body":"${body}"`;
    return {
      notify: (method, more) => {
        if (!this.#over) this.#host.frame(`{"jsonrpc":"2.0","method":"${method}","params":{${fields}${more}}}`);
      },
      chunk: (attachment) => {
        this.#host.frame(`{"jsonrpc":"2.0","method":"chunk","params":{${fields}}}`, attachment);
      },
    };
  }
}

/** Reads the result of `call` (P-52); undefined when it is none. */
function readAnswer(result: unknown): (Omit<Answer, "body"> & { more: boolean }) | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  const { status, headers, more, meta } = result as Record<string, unknown>;
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 599) return undefined;
  if (!Array.isArray(headers) || headers.length > limits.reply_headers_max || !headers.every(isHeader))
    return undefined;
  if (more !== undefined && typeof more !== "boolean") return undefined;
  return { status: status as number, headers, more: more === true, meta: readMeta(meta) };
}

function isHeader(pair: unknown): boolean {
  if (!Array.isArray(pair)) return false;
  const [name, value] = pair as unknown[];
  return typeof name === "string" && typeof value === "string" && NAME.test(name) && VALUE.test(value);
}

function readMeta(meta: unknown): Meta {
  const { worker, attempts, took_ms } = (meta ?? {}) as Record<string, unknown>;
  const took = (took_ms as { worker?: unknown } | null | undefined)?.worker;
  return {
    worker: typeof worker === "string" ? worker : "",
    attempts: Number.isInteger(attempts) ? (attempts as number) : 1,
    workerMs: typeof took === "number" && took >= 0 ? took : 0,
  };
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const NEVER_SENT_ON = new Set(["parse_error", "invalid_request", "unknown_method", "invalid_params"]);

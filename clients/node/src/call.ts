/** One call, from its frame to its reply; what a request and a response stand on. */
import { callName } from "./chain.js";
import { errorHead, type HeraError, type WireCode } from "./errors.js";
import { limits } from "./limits.js";
import type { CallStub } from "./remote-stub.js";
import { type BodyWire, IncomingBody, OutgoingBody } from "./stream.js";
import { UsualParams } from "./usual-call.js";

/** Params of a call (P-32), as far as they were checked. */
export interface CallParams {
  method: string;
  target: string;
  path: string;
  query: string | null;
  headers: [string, string][];
  request_id: string;
  caller: Caller;
  trace?: { traceparent: string; tracestate?: string };
  timeout_ms: number;
  /** Of a remote call: names of the calls within which it was made (P-53). */
  chain?: string[];
  more?: boolean;
}

/** Who calls: the token's name (null: anonymous) and labels, the address; for a remote call the calling service. */
export interface Caller {
  token: string | null;
  labels: Record<string, string>;
  ip: string;
  service?: string;
}

/** What a call needs of the session it came by. */
export interface CallHost {
  readonly open: boolean;
  frame(head: string, attachment?: Buffer | string): void;
  offer(body: OutgoingBody): void;
  withdraw(body: OutgoingBody): void;
  /** The call is over: both of its bodies have ended (P-41). */
  over(call: Call): void;
  /** Answers the remote calls within it, where that is no broker. */
  readonly stub?: CallStub | undefined;
}

/** Something that a call takes with it when it is cancelled. */
export interface Child {
  abandon(reason: HeraError): void;
}

/** What a call tells those who work on it; always in a turn of its own, never in the reader's (P-27). */
export interface CallListener {
  /** Whether somebody reads the call's body as it comes. */
  readonly begun: boolean;
  /** Nobody waits for the answer any more. */
  gone(reason: HeraError): void;
}

export class Call {
  readonly id: number;
  /** As it was declared. */
  readonly endpoint: string;
  readonly params: CallParams;
  /** Monotonic milliseconds. */
  readonly deadline: number;
  /** What came of the body so far; all of it once a body that is not streamed was gathered. */
  attachment: Buffer;
  readonly input: IncomingBody | undefined;
  readonly #host: CallHost;
  #output: OutgoingBody | undefined;
  /** The request that stands on this call. */
  listener: CallListener | undefined;
  #abort: AbortController | undefined;
  #abortReason: HeraError | undefined;
  #answered = false;
  #cancelled = false;
  #chain: string[] | undefined;
  #children: Set<Child> | undefined;

  constructor(host: CallHost, id: number, endpoint: string, params: CallParams, attachment: Buffer, arrived: number) {
    this.#host = host;
    this.id = id;
    this.endpoint = endpoint;
    this.params = params;
    this.attachment = attachment;
    this.deadline = arrived + params.timeout_ms;
    if (params.more === true) this.input = new IncomingBody(this.#wire("call"), () => this.#inputEnded());
  }

  /** The first header of this lower-case name. */
  header(name: string): string | undefined {
    const { params } = this;
    // Most calls have none of those that are asked for, and need not have their headers made for it.
    if (params instanceof UsualParams && !params.mayHave(name)) return undefined;
    return params.headers?.find(([each]) => each === name)?.[1];
  }

  /** Whether anything may still be sent for it. */
  get live(): boolean {
    return !this.#cancelled && this.#host.open;
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** Aborts when the caller left, the deadline passed or the connection ended. Made when first asked for. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#abortReason) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  get output(): OutgoingBody | undefined {
    return this.#output;
  }

  /** Why nobody waits for it any more; undefined while somebody may. */
  get gone(): HeraError | undefined {
    return this.#cancelled ? this.#abortReason : undefined;
  }

  /** The chain of the remote calls within it. */
  get chainWithin(): string[] {
    const { method, path, query, chain = [] } = this.params;
    this.#chain ??= [...chain, callName(method, path, query)];
    return this.#chain;
  }

  get stub(): CallStub | undefined {
    return this.#host.stub;
  }

  /** Keeps a remote call within it, which goes when it goes. */
  keep(child: Child): void {
    this.#children ??= new Set();
    this.#children.add(child);
  }

  forget(child: Child): void {
    this.#children?.delete(child);
  }

  /** Sends the answer, once; later ones give false and send nothing.
   *  @param headers the pairs as JSON
   *  @param body at most 256 KiB when `more` is false; longer ones are for `more` */
  reply(status: number, headers: string, body: Buffer | string | undefined, more: boolean): boolean {
    if (this.#answered) return false;
    this.#answered = true;
    if (!this.live) return true;
    const head = `{"jsonrpc":"2.0","id":${this.id},"result":{"status":${status},"headers":${headers}`;
    if (!more) {
      this.#host.frame(`${head}}}`, body);
      this.#replied();
      return true;
    }
    const first = body === undefined ? Buffer.alloc(0) : typeof body === "string" ? Buffer.from(body) : body;
    const most = limits.attachment_bytes_max;
    this.#output = new OutgoingBody(
      this.#wire("reply"),
      () => this.#output && this.#host.offer(this.#output),
      () => this.#replied(),
    );
    this.#host.frame(`${head},"more":true}}`, first.subarray(0, most));
    if (first.length > most) this.#output.write(first.subarray(most));
    return true;
  }

  /** Answers with an error response, where nothing was answered yet. */
  fail(code: WireCode, message: string): void {
    if (this.#answered) return;
    this.#answered = true;
    if (this.live) this.#host.frame(errorHead(this.id, code, message));
    this.#replied();
  }

  /** The broker wants nothing more of it: the handler is told, both bodies end, nothing is sent (P-36). */
  cancel(reason: HeraError): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.abort(reason);
    if (this.#children) for (const child of this.#children) child.abandon(reason);
    const { listener } = this;
    if (listener) setImmediate(() => listener.gone(reason));
    this.input?.fail(reason);
    if (this.#output) {
      this.#host.withdraw(this.#output);
      this.#output.stop();
    }
  }

  /** Tells the handler that nobody waits. */
  abort(reason: HeraError): void {
    if (this.#abortReason) return;
    this.#abortReason = reason;
    const abort = this.#abort;
    if (abort) setImmediate(() => abort.abort(reason));
  }

  /** Ends the answer unfinished, or fails it where none was begun. */
  cut(): void {
    if (this.#output) this.#output.reset("handler_failed");
    else this.fail("handler_failed", "the handler cut the answer");
  }

  /** The reader of our reply wants no more of it. */
  stopOutput(): void {
    if (!this.#output) return;
    this.#host.withdraw(this.#output);
    this.#output.stop();
  }

  /** The reply is out. A body that nobody took up is refused; one that a handler still reads goes on (P-41). */
  #replied(): void {
    if (!this.listener?.begun) this.input?.stop("cancelled");
    if (!this.input || this.input.ended) this.#host.over(this);
  }

  #inputEnded(): void {
    if (this.#answered && (this.#output?.over ?? true)) this.#host.over(this);
  }

  #wire(body: "call" | "reply"): BodyWire {
    const fields = `"id":${this.id},"body":"${body}"`;
    return {
      notify: (method, more) => {
        if (this.live) this.#host.frame(`{"jsonrpc":"2.0","method":"${method}","params":{${fields}${more}}}`);
      },
      chunk: (attachment) => {
        if (this.live) this.#host.frame(`{"jsonrpc":"2.0","method":"chunk","params":{${fields}}}`, attachment);
      },
    };
  }
}

/** Checks the params of a call; gives undefined where they are not such as P-32 asks for. */
export function readCallParams(params: unknown): CallParams | undefined {
  if (typeof params !== "object" || params === null) return undefined;
  const { method, target, path, query, headers, request_id, caller, timeout_ms, chain, more } = params as Record<
    string,
    unknown
  >;
  const texts = [method, target, path, request_id].every((text) => typeof text === "string");
  if (!texts || typeof timeout_ms !== "number" || !(timeout_ms >= 0)) return undefined;
  if (query !== null && query !== undefined && typeof query !== "string") return undefined;
  if (more !== undefined && typeof more !== "boolean") return undefined;
  if (headers !== undefined && !(Array.isArray(headers) && headers.every(isPair))) return undefined;
  if (chain !== undefined && !(Array.isArray(chain) && chain.every((name) => typeof name === "string")))
    return undefined;
  if (caller !== undefined && (typeof caller !== "object" || caller === null)) return undefined;
  return params as CallParams;
}

function isPair(pair: unknown): boolean {
  return Array.isArray(pair) && typeof pair[0] === "string" && typeof pair[1] === "string";
}

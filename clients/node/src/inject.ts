/** `app.inject()`: one call through an app's layers, without a broker. */
import { STATUS_CODES } from "node:http";
import { Call, type CallHost, type CallParams } from "./call.js";
import type { Declaration } from "./declaration.js";
import { HeraError } from "./errors.js";
import { lookup } from "./lookup.js";
import { canonical } from "./path.js";
import type { CallStub } from "./remote-stub.js";
import type { OutgoingBody } from "./stream.js";

/** A call to inject. */
export interface InjectOptions {
  /** Default GET, or POST where there is a body. */
  method?: string;
  /** Path and query. */
  url: string;
  headers?: Record<string, string | readonly string[]>;
  /** Text or bytes as they are; anything else as JSON. */
  body?: unknown;
  /** Who calls. Default: anonymous, from 127.0.0.1. */
  caller?: { token?: string | null; labels?: Record<string, string>; ip?: string; service?: string };
  /** Milliseconds that the call may take. Default 15,000. */
  timeout?: number;
  /** Answers the remote calls that handlers make. Default: they go to brokers, if the app is connected. */
  calls?: CallStub;
}

/** What the app answered. */
export interface InjectedReply {
  status: number;
  /** By lower-case name; set-cookie is a list. Without prototype. */
  headers: Record<string, string | string[]>;
  body: Buffer;
  text: string;
  /** The body as JSON.
   *  @throws SyntaxError */
  json(): unknown;
}

export interface InjectTarget {
  declaration(): Declaration;
  serve(call: Call): void;
}

/** @throws HeraError `bad_option`, `bad_endpoint`, or the code of an error that the app answers with */
export async function inject(options: string | InjectOptions, target: InjectTarget): Promise<InjectedReply> {
  const given: InjectOptions = typeof options === "string" ? { url: options } : options;
  const body = bytesOf(given.body);
  const method = (given.method ?? (body ? "POST" : "GET")).toUpperCase();
  const [raw = "", ...query] = given.url.split("?");
  const form = canonical(raw);
  if ("error" in form) return problem(400, "bad_path", form.error);
  const declaration = target.declaration();
  const found = lookup(declaration.endpoints, method, form.path);
  if ("allow" in found) {
    if (found.allow.length === 0) return problem(404, "not_found", "no endpoint of this app matches the path");
    return problem(405, "method_not_allowed", "no endpoint takes the method", { allow: found.allow.join(", ") });
  }
  const rule = declaration.bodyRule(found.endpoint);
  if (body && body.length > rule.most) return problem(413, "body_too_large", `the limit is ${rule.most} bytes`);
  const params: CallParams = {
    method,
    target: given.url,
    path: form.path,
    query: query.length > 0 ? query.join("?") : null,
    headers: headersOf(given, body),
    request_id: `inject-${(count++).toString(36)}`,
    caller: { token: null, labels: {}, ip: "127.0.0.1", ...given.caller },
    timeout_ms: given.timeout ?? 15_000,
  };
  return new Injection(found.endpoint, params, body ?? Buffer.alloc(0), given.calls).reply(target);
}

let count = 1;

/** Stands where the session stands for a real call. */
class Injection implements CallHost {
  readonly #call: Call;
  #open = true;
  #status = 0;
  #headers: [string, string][] = [];
  #parts: Buffer[] = [];
  #done: (reply: InjectedReply) => void = () => {};

  constructor(
    endpoint: string,
    params: CallParams,
    body: Buffer,
    readonly stub: CallStub | undefined,
  ) {
    this.#call = new Call(this, 1, endpoint, params, body, performance.now());
  }

  reply(target: InjectTarget): Promise<InjectedReply> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#call.cancel(new HeraError("past_deadline", "the deadline passed"));
        this.#finish(problem(504, "timeout", "the app did not answer before the deadline"));
      }, this.#call.params.timeout_ms);
      this.#done = (reply) => {
        clearTimeout(late);
        resolve(reply);
      };
      target.serve(this.#call);
    });
  }

  get open(): boolean {
    return this.#open;
  }

  frame(head: string, attachment?: Buffer | string): void {
    const { result, error, method, params } = JSON.parse(head);
    if (error) return this.#finish(problem(500, error.data.code, error.message));
    if (method === "reset") return this.#finish(problem(502, params.code, "the app cut its answer"));
    if (attachment !== undefined) this.#parts.push(Buffer.from(attachment as string));
    if (!result) return;
    this.#status = result.status;
    this.#headers = result.headers;
    // Credit for anything: there is no network to fill.
    if (result.more) setImmediate(() => this.#call.output?.credit(2 ** 31 - 1));
  }

  offer(body: OutgoingBody): void {
    while (body.ready) body.sendOne();
  }

  withdraw(): void {}

  over(): void {
    const headers: Record<string, string | string[]> = Object.create(null);
    for (const [name, value] of this.#headers) {
      const before = headers[name];
      if (name === "set-cookie") headers[name] = [...((before as string[] | undefined) ?? []), value];
      else headers[name] = before === undefined ? value : `${before as string}, ${value}`;
    }
    this.#finish(answer(this.#status, headers, Buffer.concat(this.#parts)));
  }

  #finish(reply: InjectedReply): void {
    if (!this.#open) return;
    this.#open = false;
    this.#done(reply);
  }
}

function answer(status: number, headers: InjectedReply["headers"], body: Buffer): InjectedReply {
  return { status, headers, body, text: body.toString(), json: () => JSON.parse(body.toString()) as unknown };
}

/** As a broker answers. */
function problem(status: number, code: string, detail: string, more: Record<string, string> = {}): InjectedReply {
  const text = JSON.stringify({ type: "about:blank", title: STATUS_CODES[status], status, code, detail });
  const headers = Object.assign(Object.create(null), { "content-type": "application/problem+json", ...more });
  return answer(status, headers, Buffer.from(text));
}

function bytesOf(body: unknown): Buffer | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === "string") return Buffer.from(body);
  return body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
}

function headersOf({ headers = {}, body }: InjectOptions, bytes: Buffer | undefined): [string, string][] {
  const list = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value): [string, string] => [name.toLowerCase(), value as string]),
  );
  const has = (name: string): boolean => list.some(([each]) => each === name);
  if (!has("host")) list.push(["host", "localhost"]);
  if (bytes && !has("content-length")) list.push(["content-length", String(bytes.length)]);
  const plain = typeof body === "string" || body instanceof Uint8Array;
  if (bytes && !plain && !has("content-type")) list.push(["content-type", "application/json"]);
  return list;
}

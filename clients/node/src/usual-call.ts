/** A call as brokers write it, which is nearly every message: read by one regular expression, and the rest of it when it is asked for.
 *
 *  `JSON.parse` of the whole head was the dearest part of a call: it makes some thirty values, of which a handler looks at a few. */
import type { Caller, CallParams } from "./call.js";
import type { Request } from "./message.js";

/** Reads the head of a call; undefined for any other message, and for a call that is written otherwise or has an escape where text is
 *  taken as it stands. What it takes is exact JSON, with no member twice and none nested deep (P-7, P-8). */
export function readUsualCall(head: string): Request | undefined {
  const found = CALL.exec(head);
  return found
    ? { kind: "request", id: Number(found[1]), method: found[2] as string, params: new UsualParams(found) }
    : undefined;
}

/** The params of such a call, of which nothing is left to be checked. */
export class UsualParams implements CallParams {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: string | null;
  readonly request_id: string;
  readonly timeout_ms: number;
  readonly more: boolean;
  /** What stood in the head: headers, caller, trace and chain are JSON there. */
  readonly #found: RegExpExecArray;
  #headers: [string, string][] | undefined;
  #caller: Caller | undefined;

  constructor(found: RegExpExecArray) {
    this.method = found[3] as string;
    this.target = found[4] as string;
    this.path = found[5] as string;
    this.query = found[6] ?? null;
    this.request_id = found[8] as string;
    this.timeout_ms = Number(found[11]);
    this.more = found[13] !== undefined;
    this.#found = found;
  }

  /** Whether there may be such a header: tells without making all of them. */
  mayHave(name: string): boolean {
    return (this.#found[7] as string).includes(name);
  }

  get headers(): [string, string][] {
    this.#headers ??= JSON.parse(this.#found[7] as string) as [string, string][];
    return this.#headers;
  }

  get caller(): Caller {
    this.#caller ??= JSON.parse(this.#found[9] as string) as Caller;
    return this.#caller;
  }

  get trace(): CallParams["trace"] {
    const text = this.#found[10];
    return text === undefined ? undefined : JSON.parse(text);
  }

  get chain(): string[] | undefined {
    const text = this.#found[12];
    return text === undefined ? undefined : JSON.parse(text);
  }
}

const ID = "[1-9][0-9]{0,14}";
const ENDPOINT = String.raw`[^"\\\s\p{Cc}]+ [^"\\\s\p{Cc}]+`;
/** A string that means what it shows. */
const PLAIN = String.raw`"([^"\\\p{Cc}]*)"`;
const STRING = String.raw`"[^"\\\p{Cc}]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\p{Cc}]*)*"`;
const OBJECT = `\\{${list(`${STRING}:${STRING}`)}\\}`;
/** Names as they are looked for: `mayHave` goes by the text. */
const NAME = String.raw`"[^"\\\p{Cc}]*"`;
const HEADERS = `\\[${list(`\\[${NAME},${STRING}\\]`)}\\]`;
const CALLER = `\\{"token":(?:null|${STRING}),"labels":${OBJECT},"ip":${STRING}(?:,"service":${STRING})?\\}`;
const TRACE = `\\{"traceparent":${STRING}(?:,"tracestate":${STRING})?\\}`;
const PARAMS = [
  `"method":${PLAIN}`,
  `"target":${PLAIN}`,
  `"path":${PLAIN}`,
  `"query":(?:null|${PLAIN})`,
  `"path_params":${OBJECT}`,
  `"headers":(${HEADERS})`,
  `"request_id":${PLAIN}`,
  `"caller":(${CALLER})(?:,"trace":(${TRACE}))?`,
  `"timeout_ms":(0|${ID})(?:,"chain":(\\[${list(STRING)}\\]))?(,"more":true)?`,
].join(",");
const CALL = new RegExp(
  String.raw`^\{"jsonrpc":"2\.0","id":(${ID}),"method":"(${ENDPOINT})","params":\{${PARAMS}\}\}$`,
  "u",
);

function list(item: string): string {
  return `(?:${item}(?:,${item})*)?`;
}

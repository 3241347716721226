/** The head of a frame: one JSON-RPC 2.0 message (P-6 to P-10). */
import { isUtf8 } from "node:buffer";
import { limits } from "./limits.js";
import { readUsualCall } from "./usual-call.js";

export interface Request {
  kind: "request";
  id: number;
  method: string;
  params: unknown;
}

export interface Notification {
  kind: "notification";
  method: string;
  params: unknown;
}

/** `id` is null where the other side could not read ours, undefined where it is nothing that we ever send. */
export interface Response {
  kind: "response";
  id: number | null | undefined;
  result?: unknown;
  error?: unknown;
}

export interface BadHead {
  kind: "bad";
  code: "parse_error" | "invalid_request";
  /** The id it carries, where one can be made out. */
  id: number | undefined;
  reason: string;
}

export type Message = Request | Notification | Response | BadHead;

/** Reads a head; never throws. */
export function readMessage(head: Buffer): Message {
  const text = head.toString("utf8");
  // What is not UTF-8 leaves its mark in the text, so that the bytes of most heads are gone over once.
  if (text.includes("\ufffd") && !isUtf8(head)) return bad("parse_error", "head is not UTF-8");
  const usual = readUsualCall(text) ?? readUsualAnswer(text);
  if (usual) return usual;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad("parse_error", "head is not JSON");
  }
  if (typeof value !== "object" || value === null) return bad("invalid_request", "head is no object");
  const outline = scan(text);
  if (outline === undefined) return bad("parse_error", "head nests deeper than 64");
  if (Array.isArray(value)) return bad("invalid_request", "batches are not used");

  const { jsonrpc, method, params, result, error } = value as Record<string, unknown>;
  const has = outline.names;
  const id = readId(outline.id);
  const usable = typeof id === "number" ? id : undefined;
  if (outline.twice) return bad("invalid_request", "a member stands twice", usable);
  if (jsonrpc !== "2.0") return bad("invalid_request", 'member jsonrpc is not "2.0"', usable);
  const answers = (has & RESULT ? 1 : 0) + (has & ERROR ? 1 : 0);
  if (has & METHOD && answers === 0) {
    if (typeof method !== "string") return bad("invalid_request", "method is no text", usable);
    if (!(has & ID)) return { kind: "notification", method, params };
    if (typeof id !== "number") {
      return bad("invalid_request", "id of a request is not an integer from 1 to 2^53 - 1");
    }
    return { kind: "request", id, method, params };
  }
  if (!(has & METHOD) && has & ID && answers === 1) {
    return has & ERROR ? { kind: "response", id, error } : { kind: "response", id, result };
  }
  return bad("invalid_request", "neither request, notification nor response", usable);
}

const ANSWER = /^\{"jsonrpc":"2\.0","id":([1-9][0-9]{0,15}),"result":(?=\{)/;

/** An answer to one of ours, as brokers write them: members in this order, and nothing behind the last.
 *
 *  If what lies between the known beginning and the last brace is one JSON object, the whole is a message and no member stands
 *  twice, so there is no need to go over the text a second time. Anything else gives undefined, and is read the long way. */
function readUsualAnswer(text: string): Response | undefined {
  const found = ANSWER.exec(text);
  if (!found || !text.endsWith("}")) return undefined;
  if (mayNestTooDeep(text)) return undefined;
  const id = Number(found[1]);
  if (!Number.isSafeInteger(id)) return undefined;
  try {
    return { kind: "response", id, result: JSON.parse(text.slice(found[0].length, -1)) };
  } catch {
    return undefined;
  }
}

/** Whether there are enough brackets to nest deeper than P-8 allows; an answer rarely has as many. Looked for, not looked at one by one: an
 *  answer has few of them among hundreds of characters. */
function mayNestTooDeep(text: string): boolean {
  let brackets = 0;
  for (const bracket of ["{", "["]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++brackets > limits.json_depth_max) return true;
    }
  }
  return false;
}

function bad(code: BadHead["code"], reason: string, id?: number): BadHead {
  return { kind: "bad", code, id, reason };
}

const ID_TEXT = /^[1-9][0-9]{0,15}$/;

/** An id counts only in the exact text that P-7 asks for: `1.0` and `"1"` are not `1`. */
function readId(text: string): number | null | undefined {
  if (text === "null") return null;
  if (!ID_TEXT.test(text)) return undefined;
  const id = Number(text);
  return Number.isSafeInteger(id) ? id : undefined;
}

const ID = 1;
const METHOD = 2;
const PARAMS = 4;
const RESULT = 8;
const ERROR = 16;
const JSONRPC = 32;

function bit(name: string): number {
  switch (name) {
    case "id":
      return ID;
    case "method":
      return METHOD;
    case "params":
      return PARAMS;
    case "result":
      return RESULT;
    case "error":
      return ERROR;
    case "jsonrpc":
      return JSONRPC;
    default:
      return 0;
  }
}

/** What `JSON.parse` does not tell: names that stand twice (it takes the last), the id's own text, and the depth. */
interface Outline {
  names: number;
  twice: boolean;
  id: string;
}

/** Goes over text that is known to be JSON; gives undefined where it nests too deep (P-8). */
function scan(text: string): Outline | undefined {
  const outline: Outline = { names: 0, twice: false, id: "" };
  let depth = 0;
  let expectsName = false;
  let idFrom = -1;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const end = stringEnd(text, at);
        if (depth === 1 && expectsName) {
          expectsName = false;
          const flag = bit(nameOf(text, at, end));
          if (flag !== 0 && outline.names & flag) outline.twice = true;
          outline.names |= flag;
          if (flag === ID) idFrom = text.indexOf(":", end) + 1;
        }
        at = end;
        break;
      }
      case 0x7b:
      case 0x5b:
        depth++;
        if (depth > limits.json_depth_max) return undefined;
        expectsName = depth === 1;
        break;
      case 0x7d:
      case 0x5d:
        if (depth === 1 && idFrom >= 0) {
          outline.id = text.slice(idFrom, at).trim();
          idFrom = -1;
        }
        depth--;
        break;
      case 0x2c:
        if (depth !== 1) break;
        if (idFrom >= 0) {
          outline.id = text.slice(idFrom, at).trim();
          idFrom = -1;
        }
        expectsName = true;
        break;
    }
  }
  return outline;
}

/** Where the string that opens at `at` closes. */
function stringEnd(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i;
    if (code === 0x5c) i++;
  }
  return text.length;
}

function nameOf(text: string, open: number, close: number): string {
  const name = text.slice(open + 1, close);
  return name.includes("\\") ? (JSON.parse(text.slice(open, close + 1)) as string) : name;
}

/** Remote calls of an injected call: a test's function answers them, since there is no broker. */
import type { IncomingHttpHeaders } from "node:http";
import { joinHeaders } from "./incoming.js";
import { readBody } from "./remote-body.js";
import { type RemoteReply, ReplyStream, replyOf } from "./remote-reply.js";
import type { RemoteRequest } from "./remote-request.js";

/** A remote call that a handler makes. */
export interface StubbedCall {
  method: string;
  /** Path and query. */
  url: string;
  /** By lower-case name. */
  headers: IncomingHttpHeaders;
  /** As the handler gave it. */
  body: unknown;
}

/** What it is answered with; a body is sent as `call` sends one. */
export interface StubReply {
  /** Default 200. */
  status?: number | undefined;
  headers?: Record<string, string | readonly string[]> | undefined;
  body?: unknown;
}

/** Answers remote calls; a `HeraError` that it throws is one that a broker makes. */
export type CallStub = (call: StubbedCall) => StubReply | Promise<StubReply>;

export async function stubbed(stub: CallStub, request: RemoteRequest, body: unknown): Promise<RemoteReply> {
  const { method, target: url, requestId, bodyLimit, stream } = request;
  const {
    status = 200,
    headers = {},
    body: given,
  } = await stub({
    method,
    url,
    headers: joinHeaders(request.headers),
    body,
  });
  const { whole = "", pieces, type } = readBody(given);
  const parts: Buffer[] = [Buffer.from(whole as string)];
  if (pieces) for await (const piece of pieces) parts.push(piece);
  const pairs = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value): [string, string] => [name.toLowerCase(), value as string]),
  );
  if (type !== undefined && !pairs.some(([name]) => name === "content-type")) pairs.push(["content-type", type]);
  const bytes = Buffer.concat(parts);
  const answer = stream ? new ReplyStream(bytes, undefined) : bytes;
  const meta = { worker: "", attempts: 1, workerMs: 0 };
  return replyOf({ status, headers: pairs, meta, body: answer }, bodyLimit, requestId);
}

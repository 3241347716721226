/** The messages of ZooKeeper's protocol that a reader needs: what it sends, and how it reads the answers. */
import { type JuteReader, JuteWriter } from "./jute.js";

export const ops = { exists: 3, getData: 4, ping: 11, getChildren2: 12, closeSession: -11 } as const;

/** Ids that are no answer to a request of ours. */
export const xids = { event: -1, ping: -2 } as const;

export const codes = { noNode: -101, noAuth: -102 } as const;

/** A server answered with an error; the connection goes on. */
export class ZooKeeperError extends Error {
  override readonly name = "ZooKeeperError";
  readonly code: number;

  constructor(code: number, path: string) {
    super(`zookeeper answered ${NAMES[code] ?? `error ${code}`} for ${path}`);
    this.code = code;
  }
}

const NAMES: Record<number, string> = { [codes.noNode]: "no node", [codes.noAuth]: "not authorised" };

/** By what a session is known to the servers, and how far its client has seen. */
export interface Identity {
  id: bigint;
  password: Buffer;
  /** The newest transaction that was seen; a server that is behind it refuses us. */
  zxid: bigint;
}

export const nobody: Identity = { id: 0n, password: Buffer.alloc(16), zxid: 0n };

export function connectRequest({ id, password, zxid }: Identity, timeoutMs: number): Buffer {
  const protocolVersion = 0;
  const readOnly = false;
  return new JuteWriter()
    .int(protocolVersion)
    .long(zxid)
    .int(timeoutMs)
    .long(id)
    .buffer(password)
    .bool(readOnly)
    .frame();
}

export interface Granted {
  /** Not above zero: the session that was asked for has expired. */
  timeoutMs: number;
  id: bigint;
  password: Buffer;
}

export function readGranted(reader: JuteReader): Granted {
  reader.int();
  const timeoutMs = reader.int();
  const id = reader.long();
  const password = Buffer.from(reader.buffer());
  // Servers before 3.4 do not say whether they are read-only.
  if (reader.left > 0) reader.bool();
  reader.end();
  return { timeoutMs, id, password };
}

export interface ReplyHead {
  xid: number;
  zxid: bigint;
  error: number;
}

export function readReplyHead(reader: JuteReader): ReplyHead {
  return { xid: reader.int(), zxid: reader.long(), error: reader.int() };
}

/** What fired does not matter to who lists anew, but it has to be an event. */
export function readEvent(reader: JuteReader): void {
  reader.int();
  reader.int();
  reader.string();
  reader.end();
}

/** What of a node's stat counts here. */
export interface Stat {
  /** The transaction that wrote the data last: the same means the same data. */
  mzxid: bigint;
  dataLength: number;
}

export function readStat(reader: JuteReader): Stat {
  reader.long();
  const mzxid = reader.long();
  reader.long();
  reader.long();
  reader.int();
  reader.int();
  reader.int();
  reader.long();
  const dataLength = reader.int();
  reader.int();
  reader.long();
  return { mzxid, dataLength };
}

export function readChildren(reader: JuteReader): string[] {
  const names = reader.strings();
  readStat(reader);
  return names;
}

export function readData(reader: JuteReader): { data: Buffer; stat: Stat } {
  return { data: reader.buffer(), stat: readStat(reader) };
}

/** What both sides sign and verify in the handshake (P-14 to P-18); no socket and no clock. */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { fromWire, HeraError } from "./errors.js";
import type { WorkerKey } from "./key.js";
import { limits } from "./limits.js";
import { type BadHead, type Message, readMessage } from "./message.js";

export type Role = "broker" | "worker";

export interface Hello {
  key: string;
  nonce: string;
  instance: string;
  version: string;
  library: string;
  in_flight_max: number;
}

/** The feature by which a broker takes remote calls (P-50). */
const REMOTE_CALL = "remote_call";
export const HELLO_ID = 1;
export const PROVE_ID = 2;

/** Head of the first message of a connection. */
export function helloHead(hello: Hello): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    id: HELLO_ID,
    method: "hello",
    params: {
      versions: [1],
      features: [REMOTE_CALL],
      limits: {
        head_bytes_max: limits.head_bytes_max,
        attachment_bytes_max: limits.attachment_bytes_max,
        in_flight_max: hello.in_flight_max,
      },
      nonce: hello.nonce,
      key: hello.key,
      instance: hello.instance,
      version: hello.version,
      library: hello.library,
    },
  });
}

export const proveHead = `{"jsonrpc":"2.0","id":${PROVE_ID},"method":"prove","params":{}}`;

/** What a broker is believed after it proved itself. */
export interface BelievedAnswer {
  broker: string;
  in_flight_max: number;
  /** Whether it takes remote calls. */
  remote: boolean;
  /** What the worker signs. */
  said: Buffer;
}

/** Judges the broker's answer to our hello and its proof; only then may anything be signed (P-18).
 *  @param hello the head as it was sent
 *  @param certificate SHA-256 of the broker's leaf certificate on TLS */
export function judgeAnswer(
  key: WorkerKey,
  hello: Buffer,
  head: Buffer,
  proof: Buffer,
  certificate: Buffer | null,
): BelievedAnswer | HeraError {
  const result = handshakeResult(readMessage(head), HELLO_ID);
  if (result instanceof HeraError) return result;
  const said = transcript(hello, head, certificate);
  if (!verifies(key.cluster, "broker", said, proof)) {
    return new HeraError("unauthenticated", "the broker did not prove that it belongs to the key's cluster");
  }
  const { version, broker, limits: offered, features } = result as Record<string, unknown>;
  if (version !== 1) return new HeraError("unsupported_version", `broker chose version ${String(version)}`);
  const most = (offered as { in_flight_max?: unknown } | undefined)?.in_flight_max;
  const fits = Number.isInteger(most) && (most as number) >= 1;
  return {
    broker: typeof broker === "string" ? broker : "?",
    in_flight_max: fits ? (most as number) : limits.in_flight_max,
    remote: Array.isArray(features) && features.includes(REMOTE_CALL),
    said,
  };
}

/** The result of one step of the handshake, or why there is none. */
export function handshakeResult(message: Message | BadHead, id: number): object | HeraError {
  if (message.kind === "bad") return new HeraError(message.code, message.reason);
  if (message.kind !== "response" || (message.id !== id && message.id !== null)) {
    return new HeraError("handshake_required", "another message came before the handshake was done");
  }
  if (message.error !== undefined) {
    const { code, message: text } = fromWire(message.error);
    return new HeraError(code, `the broker refused: ${text.slice(0, 200)}`);
  }
  if (typeof message.result !== "object" || message.result === null) {
    return new HeraError("bad_reply", "the broker's answer in the handshake is no object");
  }
  return message.result;
}

/** SHA-256 over everything both sides said so far (P-16).
 *  @param certificate SHA-256 of the broker's leaf certificate on TLS, so a proof cannot be carried to another connection */
export function transcript(hello: Buffer, answer: Buffer, certificate: Buffer | null): Buffer {
  const hash = createHash("sha256").update("hera/1 transcript");
  for (const head of [hello, answer]) {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(head.length);
    hash.update(length).update(head);
  }
  return certificate ? hash.update(ONE).update(certificate).digest() : hash.update(ZERO).digest();
}

/** The proof of `role` over `said`, 64 bytes (P-17). */
export function prove(seed: Buffer, role: Role, said: Buffer): Buffer {
  return sign(null, signed(role, said), privateKey(seed));
}

/** Whether `proof` is the signature of `role` over `said` by the holder of `publicKey`. */
export function verifies(publicKey: Buffer, role: Role, said: Buffer, proof: Buffer): boolean {
  if (proof.length !== 64) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: "der", type: "spki" });
    return verify(null, signed(role, said), key, proof);
  } catch {
    // 32 bytes that are no point of the curve are a key that nobody holds.
    return false;
  }
}

/** The Ed25519 public key that belongs to a seed, 32 bytes. */
export function publicOf(seed: Buffer): Buffer {
  return createPublicKey(privateKey(seed)).export({ format: "der", type: "spki" }).subarray(SPKI.length);
}

function privateKey(seed: Buffer) {
  return createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
}

function signed(role: Role, said: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`hera/1 ${role}\0`, "latin1"), said]);
}

// RFC 8410: the fixed DER in front of a raw Ed25519 seed and of a raw public key.
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const ZERO = Buffer.from([0]);
const ONE = Buffer.from([1]);

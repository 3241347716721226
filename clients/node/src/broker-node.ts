/** What a broker says of itself in ZooKeeper, as far as a worker needs it. */
import { isIPv6 } from "node:net";
import type { Address } from "./options.js";

/** A broker that a worker can dial. */
export interface BrokerNode {
  id: string;
  address: string;
  port: number;
  protocols: string[];
}

/** Why a node is left out. */
export type Skip = "bad_name" | "unreadable" | "too_large" | "bad_json" | "bad_node" | "no_protocol";

/** */
export const NODE_BYTES_MAX = 4_096;
/** a worker dials no more. */
export const BROKERS_MAX = 64;

/** Curator's name of the service. */
const SERVICE = "brokers";
const TLS = "hera/1+tls";
const TCP = "hera/1+tcp";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Whether a child of `/brokers` can be a broker's: its name is the broker's id. */
export function isBrokerId(name: unknown): name is string {
  return typeof name === "string" && /^[a-z0-9-]{1,32}$/.test(name);
}

/** Reads the data of the child `name`. */
export function readBrokerNode(name: string, data: Uint8Array): BrokerNode | Skip {
  if (!isBrokerId(name)) return "bad_name";
  if (data.length > NODE_BYTES_MAX) return "too_large";
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(data));
  } catch {
    return "bad_json";
  }
  const node = checkBroker(value);
  if (typeof node === "string") return node;
  return node.id === name && (value as { name?: unknown }).name === SERVICE ? node : "bad_node";
}

/** Reads a broker from JSON of a node or of the saved list; what else is in it is left. */
export function checkBroker(value: unknown): BrokerNode | "bad_node" | "no_protocol" {
  if (typeof value !== "object" || value === null) return "bad_node";
  const { id, address, port, protocols } = value as Record<string, unknown>;
  if (!isBrokerId(id) || !isHost(address) || !isPort(port) || !isTexts(protocols)) return "bad_node";
  if (!protocols.includes(TLS) && !protocols.includes(TCP)) return "no_protocol";
  return { id, address, port, protocols };
}

/** Where to dial a broker: by TLS where it has that. */
export function addressOf({ address, port, protocols }: BrokerNode): Address {
  return { host: address, port, tls: protocols.includes(TLS) };
}

/** The order in which brokers come first: by the bytes of their ids. */
export function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function isHost(value: unknown): value is string {
  return typeof value === "string" && (/^[A-Za-z0-9.-]{1,253}$/.test(value) || (!value.includes("%") && isIPv6(value)));
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

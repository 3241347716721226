/** The one string by which a worker finds brokers: a list of them, or ZooKeeper. */
import { HeraError } from "./errors.js";
import type { Address } from "./options.js";

/** ZooKeeper's servers, and where Hera lies in it. */
export interface Ensemble {
  /** The string as it was given; the saved list goes by it. */
  text: string;
  servers: Address[];
  /** Stands in front of every path; empty for the root. */
  chroot: string;
}

export type Source = { brokers: Address[] } | { zookeeper: Ensemble };

const BROKER_PORT = 4372;
const ZOOKEEPER_PORT = 2181;
const SERVERS_MAX = 64;
const CHROOT_BYTES_MAX = 255;

/** Reads `hera://host[:port],…`, `heras://…`, `zk://host[:port],…[/chroot]`, `zks://…`, or the same as `zk://` with no scheme.
 *  @throws HeraError `bad_option` */
export function parseSource(text: string): Source {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  const rest = text.slice(scheme === undefined ? 0 : scheme.length + 3);
  switch (scheme) {
    case "hera":
    case "heras":
      return { brokers: addresses(rest.replace(/\/$/, ""), "broker", BROKER_PORT, scheme === "heras") };
    case undefined:
    case "zk":
    case "zks":
      return { zookeeper: ensemble(text, rest, scheme === "zks") };
    default:
      throw new HeraError("bad_option", `scheme ${scheme}:// is not hera, heras, zk or zks`);
  }
}

function ensemble(text: string, rest: string, tls: boolean): Ensemble {
  const slash = rest.indexOf("/");
  const hosts = slash < 0 ? rest : rest.slice(0, slash);
  const chroot = slash < 0 ? "" : rest.slice(slash).replace(/\/$/, "");
  if (chroot !== "" && !isChroot(chroot)) {
    throw new HeraError(
      "bad_option",
      `zookeeper chroot ${JSON.stringify(chroot)} is not /segment/segment of A-Z a-z 0-9 . _ -, at most 255 bytes`,
    );
  }
  const servers = addresses(hosts, "zookeeper server", ZOOKEEPER_PORT, tls);
  if (servers.length > SERVERS_MAX) {
    throw new HeraError("bad_option", `${servers.length} zookeeper servers are more than ${SERVERS_MAX}`);
  }
  return { text, servers, chroot };
}

function isChroot(path: string): boolean {
  if (path.length > CHROOT_BYTES_MAX || !/^(\/[A-Za-z0-9._-]+)+$/.test(path)) return false;
  return path.split("/").every((segment) => segment !== "." && segment !== "..");
}

function addresses(list: string, what: string, port: number, tls: boolean): Address[] {
  return list.split(",").map((part) => parseAddress(part.trim(), what, port, tls));
}

function parseAddress(text: string, what: string, portDefault: number, tls: boolean): Address {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(found?.[3] ?? portDefault);
  if (!found || port < 1 || port > 65_535) {
    throw new HeraError("bad_option", `${what} ${JSON.stringify(text)} is not host or host:port`);
  }
  return { host: (found[1] ?? found[2]) as string, port, tls };
}

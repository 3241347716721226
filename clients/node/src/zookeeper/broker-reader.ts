/** Reads the list of brokers out of ZooKeeper. */
import {
  BROKERS_MAX,
  type BrokerNode,
  byId,
  isBrokerId,
  NODE_BYTES_MAX,
  readBrokerNode,
  type Skip,
} from "../broker-node.js";
import { codes, type Stat, ZooKeeperError } from "./messages.js";

/** What the reader needs of a session. */
export interface Nodes {
  children(path: string, watch: boolean): Promise<string[]>;
  exists(path: string, watch: boolean): Promise<Stat>;
  data(path: string): Promise<{ data: Buffer; stat: Stat }>;
}

export interface Listing {
  /** In the order of ids, at most 64. */
  brokers: BrokerNode[];
  /** Children that were left out, and why. */
  skipped: Map<string, Skip>;
  /** Children that were not looked at, since there are enough before them. */
  left: number;
}

/** What a child held when the transaction `mzxid` had written it. */
type Known = Map<string, { mzxid: bigint; outcome: BrokerNode | Skip }>;

/** How many children are asked for at once. */
const AT_ONCE = 32;
/** How many children one listing looks at, where most of them are no brokers. */
const CHILDREN_MAX = 16_384;

export class BrokerReader {
  readonly #nodes: Nodes;
  readonly #path: string;
  /** What children held, so that each minute's listing fetches again only what was written since. */
  #known: Known = new Map();

  constructor(nodes: Nodes, chroot: string) {
    this.#nodes = nodes;
    this.#path = `${chroot}/brokers`;
  }

  /** To be called with each new session: servers may have been wiped, and count transactions from the start. */
  forget(): void {
    this.#known.clear();
  }

  /** Lists the brokers, and leaves a watch on the list; `undefined` when there is none yet, watched in its turn.
   *  Rejects when the connection ends, and with a `ZooKeeperError` where the list may not be read. */
  async list(): Promise<Listing | undefined> {
    const names = await this.#names();
    if (!names) return undefined;
    const listing: Listing = { brokers: [], skipped: new Map(), left: 0 };
    const known: Known = new Map();
    const ids = names.filter(isBrokerId).sort();
    for (const name of names) if (!isBrokerId(name)) listing.skipped.set(name, "bad_name");

    let at = 0;
    while (at < Math.min(ids.length, CHILDREN_MAX) && listing.brokers.length < BROKERS_MAX) {
      const group = ids.slice(at, at + AT_ONCE);
      at += group.length;
      const outcomes = await Promise.all(group.map((id) => this.#child(id, known)));
      for (const [i, outcome] of outcomes.entries()) {
        if (typeof outcome === "string") listing.skipped.set(group[i] as string, outcome);
        else if (outcome) listing.brokers.push(outcome);
      }
    }
    this.#known = known;
    listing.left = ids.length - at + Math.max(0, listing.brokers.length - BROKERS_MAX);
    listing.brokers = listing.brokers.sort(byId).slice(0, BROKERS_MAX);
    return listing;
  }

  async #names(): Promise<string[] | undefined> {
    const names = await orNone(this.#nodes.children(this.#path, true));
    if (names || !(await orNone(this.#nodes.exists(this.#path, true)))) return names;
    // It was made in between.
    return orNone(this.#nodes.children(this.#path, true));
  }

  /** `undefined`: gone since the list was read. */
  async #child(id: string, known: Known): Promise<BrokerNode | Skip | undefined> {
    try {
      const path = `${this.#path}/${id}`;
      // The stat first: a node that is too large, or is known, is not fetched.
      const { mzxid, dataLength } = await this.#nodes.exists(path, false);
      const before = this.#known.get(id);
      if (before?.mzxid === mzxid) {
        known.set(id, before);
        return before.outcome;
      }
      if (dataLength > NODE_BYTES_MAX) {
        known.set(id, { mzxid, outcome: "too_large" });
        return "too_large";
      }
      const { data, stat } = await this.#nodes.data(path);
      const outcome = readBrokerNode(id, data);
      known.set(id, { mzxid: stat.mzxid, outcome });
      return outcome;
    } catch (error) {
      if (!(error instanceof ZooKeeperError)) throw error;
      return error.code === codes.noNode ? undefined : "unreadable";
    }
  }
}

/** `undefined` where there is no such node. */
async function orNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ZooKeeperError && error.code === codes.noNode) return undefined;
    throw error;
  }
}

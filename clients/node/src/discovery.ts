/** Where the addresses of brokers come from: a fixed list, or ZooKeeper with a saved list behind it. */
import { addressOf, BROKERS_MAX, type BrokerNode } from "./broker-node.js";
import type { Address, Log, Options } from "./options.js";
import { SavedList } from "./saved-list.js";
import type { Ensemble, Source } from "./source.js";
import { BrokerReader, type Listing } from "./zookeeper/broker-reader.js";
import { type SessionOptions, ZooKeeperSession } from "./zookeeper/session.js";

/** One broker of the list. */
export interface Broker {
  id: string;
  address: Address;
}

/** Tells what the list is now; never an empty one from ZooKeeper. */
export type Follow = (brokers: Broker[]) => void;

export interface Discovery {
  start(): void;
  /** Resolves when nothing is left running; nothing is told any more. */
  end(): Promise<void>;
}

export interface DiscoveryOptions {
  stateDir: string | undefined;
  log: Log;
  ca?: Options["ca"];
}

export function discover(source: Source, options: DiscoveryOptions, follow: Follow): Discovery {
  if ("zookeeper" in source) return new ZooKeeperDiscovery(source.zookeeper, options, follow);
  const brokers = source.brokers.map((address) => ({ id: `${address.host}:${address.port}`, address }));
  return { start: () => follow(brokers), end: () => Promise.resolve() };
}

/** How long ZooKeeper may take at the start before the saved list is dialled. */
const SAVED_AFTER_MS = 1_000;
/** How often the list is read with no event. */
const LIST_EVERY_MS = 60_000;
/** How soon a list is read again after one that was outdated while it was read. */
const LIST_AGAIN_MS = 100;
/** How many skipped nodes are named in the log. */
const NAMED_MAX = 5;

/** Follows `/brokers` of one ZooKeeper. */
export class ZooKeeperDiscovery implements Discovery {
  readonly #log: Log;
  readonly #follow: Follow;
  readonly #saved: SavedList;
  readonly #reader: BrokerReader;
  readonly #listEveryMs: number;
  #savedTimer: NodeJS.Timeout | undefined;
  #listTimer: NodeJS.Timeout | undefined;
  #state: "idle" | "listing" | "outdated" = "idle";
  #listed = false;
  #away = false;
  #lastProblem = "";
  #ended = false;
  /** @internal */
  readonly session: ZooKeeperSession;

  constructor(
    { text, servers, chroot }: Ensemble,
    { stateDir, log, ca }: DiscoveryOptions,
    follow: Follow,
    { listEveryMs = LIST_EVERY_MS, ...session }: SessionOptions & { listEveryMs?: number } = {},
  ) {
    this.#log = log;
    this.#follow = follow;
    this.#listEveryMs = listEveryMs;
    this.#saved = new SavedList(stateDir, text, log);
    this.session = new ZooKeeperSession(
      servers,
      {
        connected: (fresh) => this.#connected(fresh),
        changed: () => this.#list(),
        away: (error) => this.#lost(error),
      },
      { ca, ...session },
    );
    this.#reader = new BrokerReader(this.session, chroot);
  }

  start(): void {
    this.#savedTimer = setTimeout(() => this.#useSaved(), SAVED_AFTER_MS).unref();
    this.session.start();
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#savedTimer);
    clearTimeout(this.#listTimer);
    await Promise.all([this.session.end(), this.#saved.settled()]);
  }

  async #useSaved(): Promise<void> {
    const brokers = await this.#saved.read();
    if (this.#ended || this.#listed || brokers.length === 0) return;
    this.#log.warn(`zookeeper gave no brokers yet; the ${brokers.length} of the saved list are dialled meanwhile`);
    this.#follow(brokers.map(broker));
  }

  #connected(fresh: boolean): void {
    if (fresh) this.#reader.forget();
    this.#list();
  }

  #lost(error: Error): void {
    if (this.#away) return;
    this.#away = true;
    this.#log.warn(`${error.message}; until zookeeper answers, the brokers known now are served`);
  }

  /** Lists now, or again where a list is being read. */
  #list(): void {
    if (this.#state !== "idle") {
      this.#state = "outdated";
      return;
    }
    this.#state = "listing";
    clearTimeout(this.#listTimer);
    this.#reader
      .list()
      .then(
        (listing) => this.#take(listing),
        (error: Error) => this.#failed(error),
      )
      .finally(() => {
        const soon = this.#state === "outdated";
        this.#state = "idle";
        if (this.#ended) return;
        // Workers that listed in step at the last event should not do so each minute.
        const wait = soon ? LIST_AGAIN_MS : this.#listEveryMs * (0.9 + 0.1 * Math.random());
        this.#listTimer = setTimeout(() => this.#list(), wait).unref();
      });
  }

  #take(listing: Listing | undefined): void {
    if (this.#ended) return;
    if (this.#away) {
      this.#away = false;
      this.#log.warn("zookeeper answers");
    }
    this.#report(problemOf(listing));
    if (!listing || listing.brokers.length === 0) return;
    this.#listed = true;
    this.#saved.keep(listing.brokers);
    this.#follow(listing.brokers.map(broker));
  }

  /** A connection that ended is told of by the session, which lists again. */
  #failed(error: Error): void {
    if (!this.#ended && error.name === "ZooKeeperError") this.#report(`the list cannot be read: ${error.message}`);
  }

  /** Says what is wrong once, not at every listing. */
  #report(problem: string): void {
    if (problem === this.#lastProblem) return;
    this.#lastProblem = problem;
    if (problem) this.#log.warn(`zookeeper: ${problem}`);
  }
}

function broker(node: BrokerNode): Broker {
  return { id: node.id, address: addressOf(node) };
}

function problemOf(listing: Listing | undefined): string {
  const problems: string[] = [];
  if (!listing || listing.brokers.length === 0) problems.push("no broker is listed; the last list holds");
  if (listing && listing.skipped.size > 0) {
    const named = [...listing.skipped].slice(0, NAMED_MAX).map(([name, why]) => `${name.slice(0, 40)} (${why})`);
    const more = listing.skipped.size > named.length ? ", …" : "";
    problems.push(`${listing.skipped.size} nodes were skipped: ${named.join(", ")}${more}`);
  }
  if (listing && listing.left > 0)
    problems.push(`${listing.left} nodes were left, over the ${BROKERS_MAX} brokers that are dialled`);
  return problems.join("; ");
}

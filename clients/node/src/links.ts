/** The links to all brokers: they follow the list.
 *
 *      listed ── gone from the list ──> retired: kept while its session lives, dialled no more ──> over */
import type { Broker } from "./discovery.js";
import type { HeraError } from "./errors.js";
import { Link, type LinkHost } from "./link.js";
import type { Address } from "./options.js";
import type { Session } from "./session.js";

interface Entry {
  id: string;
  address: string;
  link: Link;
  retired: boolean;
}

export class Links {
  readonly #host: LinkHost;
  #entries: Entry[] = [];
  #closed = false;

  constructor(host: LinkHost) {
    this.#host = host;
  }

  /** Sessions in any state. */
  get sessions(): Session[] {
    return this.#entries.flatMap(({ link: { session } }) => session ?? []);
  }

  /** Dials what is new, keeps what lives, stops dialling what is gone. Of brokers with one address the first counts. */
  follow(brokers: Broker[]): void {
    if (this.#closed) return;
    const wanted = new Map<string, Broker>();
    for (const broker of brokers) {
      const address = addressText(broker.address);
      if (!wanted.has(address)) wanted.set(address, broker);
    }
    for (const entry of [...this.#entries]) {
      const broker = wanted.get(entry.address);
      if (broker && serves(entry, broker)) {
        wanted.delete(entry.address);
        this.#keep(entry, broker);
      } else this.#retire(entry);
    }
    for (const [address, broker] of wanted) this.#add(address, broker);
  }

  /** Drains every session; what the list says from now on is not heard. */
  async drain(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#entries.map(({ link }) => link.drain()));
  }

  /** Ends everything now. */
  stop(error: HeraError): void {
    this.#closed = true;
    for (const { link } of this.#entries) link.stop(error);
    this.#entries = [];
  }

  #keep(entry: Entry, { id }: Broker): void {
    entry.id = id;
    if (!entry.retired) return;
    entry.retired = false;
    entry.link.resume();
  }

  #retire(entry: Entry): void {
    if (entry.retired) return;
    entry.retired = true;
    entry.link.retire(() => {
      this.#entries = this.#entries.filter((other) => other !== entry);
    });
  }

  #add(address: string, { id, address: at }: Broker): void {
    // A session of this broker at the address that it had before: it lives until there is one at the new address.
    const former = this.#entries.find((entry) => entry.id === id);
    const host = this.#host;
    const link = new Link(at, {
      ...host,
      live: (session) => {
        host.live(session);
        void former?.link.drain();
      },
    });
    this.#entries.push({ id, address, link, retired: false });
    link.start();
  }
}

/** Whether a link to this address is one to the broker that is listed there. A broker that was started again can have another
 *  id: then the link, unless it has reached that one already, is to one that is gone. */
function serves({ id, link: { session } }: Entry, broker: Broker): boolean {
  return id === broker.id || (session?.isLive === true && session.broker === broker.id);
}

function addressText({ host, port, tls }: Address): string {
  return `${tls ? "heras" : "hera"}://${host}:${port}`;
}

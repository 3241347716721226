/** Keeps one session with one broker alive: dials, waits, dials again, each broker for itself. */
import type { Socket } from "node:net";
import { Backoff } from "./backoff.js";
import { type Dial, dial as dialSocket } from "./dial.js";
import { HeraError } from "./errors.js";
import { limits } from "./limits.js";
import type { Address, Log, Options } from "./options.js";
import { Session, type SessionHost } from "./session.js";

/** Plain functions and values: a link hands on a copy with its own ears in it. */
export interface LinkHost extends SessionHost {
  readonly log: Log;
  readonly ca: Options["ca"];
  /** The broker refuses our key or our endpoints. */
  refused(error: HeraError): void;
}

/** After a refusal there is no hurry: a person has to act first. */
const REFUSED_MS = 30_000;
/** A connection that held so long proves that the broker is well. */
const HELD_MS = 10_000;
/** What a broker says about us, not about itself. */
const REFUSALS = new Set(["unauthenticated", "declaration_refused", "unsupported_version"]);

export class Link {
  readonly #address: Address;
  readonly #host: LinkHost;
  readonly #backoff: Backoff;
  readonly #dial: Dial;
  #socket: Socket | undefined;
  #session: Session | undefined;
  #retry: NodeJS.Timeout | undefined;
  #liveSince: number | undefined;
  #stopped = false;
  #over: (() => void) | undefined;
  #lastProblem = "";

  constructor(address: Address, host: LinkHost, backoff = new Backoff(), dial: Dial = dialSocket) {
    this.#address = address;
    this.#host = host;
    this.#backoff = backoff;
    this.#dial = dial;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  start(): void {
    const { tls } = this.#address;
    let session: Session | undefined;
    let failure: Error | undefined;
    const giveUp = setTimeout(() => {
      socket.destroy(new Error("dialling took over 5 s"));
    }, limits.handshake_ms_max);

    const socket = this.#dial(this.#address, this.#host.ca, () => {
      clearTimeout(giveUp);
      session = new Session(this.#observed(), socket, tls);
      this.#session = session;
    });
    this.#socket = socket;
    socket.on("error", (error) => {
      failure = error;
    });
    socket.once("close", () => {
      clearTimeout(giveUp);
      // With a session its own end is what counts; it comes on the same event.
      if (!session) this.#ended(new HeraError("connection_lost", `cannot dial: ${failure?.message ?? "closed"}`));
    });
  }

  /** Dials no more; a session that is live is kept until it ends. @param over called when nothing is left */
  retire(over: () => void): void {
    this.#stopDialling();
    this.#over = over;
    if (this.#session?.isLive) return;
    if (this.#socket) this.#socket.destroy();
    else over();
  }

  /** Takes `retire` back, while its session is live. */
  resume(): void {
    this.#stopped = false;
    this.#over = undefined;
  }

  /** Drains the session, if there is one, and dials no more. */
  async drain(): Promise<void> {
    this.#stopDialling();
    const session = this.#session;
    if (session) await session.drain();
    else this.#socket?.destroy();
  }

  /** Ends everything now. */
  stop(error: HeraError): void {
    this.#stopDialling();
    if (this.#session) this.#session.destroy(error);
    else this.#socket?.destroy();
  }

  #stopDialling(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  /** The app as the session sees it, with our ears on what concerns the connection itself. */
  #observed(): SessionHost {
    const host = this.#host;
    return {
      ...host,
      live: (session) => {
        this.#liveSince = host.clock.now();
        this.#lastProblem = "";
        host.live(session);
      },
      closed: (session, error) => {
        host.closed(session, error);
        this.#ended(error, session.proven);
      },
    };
  }

  #ended(error: HeraError, proven = false): void {
    const held = this.#liveSince !== undefined && this.#host.clock.now() - this.#liveSince >= HELD_MS;
    if (held) this.#backoff.reset();
    this.#liveSince = undefined;
    this.#session = undefined;
    this.#socket = undefined;
    if (this.#stopped) return this.#over?.();

    const slow = REFUSALS.has(error.code);
    this.#report(error);
    if (proven && (error.code === "unauthenticated" || error.code === "declaration_refused")) this.#host.refused(error);
    // The app may have stopped us on hearing of it.
    if (this.#stopped) return;
    const wait = slow ? REFUSED_MS * (0.9 + 0.2 * Math.random()) : this.#backoff.next();
    this.#retry = setTimeout(() => this.start(), wait);
  }

  /** Says what is wrong once, not at every attempt. */
  #report(error: HeraError): void {
    if (error.message === this.#lastProblem) return;
    this.#lastProblem = error.message;
    const refused = error.endpoints.map(({ endpoint, code, message }) => `\n  ${endpoint}: ${code}, ${message}`);
    this.#host.log.warn(`broker ${this.#address.host}:${this.#address.port}: ${error.message}${refused.join("")}`);
  }
}

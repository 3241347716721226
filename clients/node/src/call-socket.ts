/** The stand-in for the socket that Node's requests and responses carry: there is none, the caller's ends at the broker. */
import { EventEmitter } from "node:events";
import { isIPv6 } from "node:net";
import type { Call } from "./call.js";

export class CallSocket extends EventEmitter {
  readonly #call: Call;
  destroyed = false;
  readable = true;
  writable = true;

  constructor(call: Call) {
    super();
    this.#call = call;
  }

  /** The caller's address, as the broker knows it. */
  get remoteAddress(): string {
    return this.#call.params.caller?.ip ?? "";
  }

  get remoteFamily(): string {
    return isIPv6(this.remoteAddress) ? "IPv6" : "IPv4";
  }

  /** Whether the caller spoke TLS to whom the broker trusts to say so. */
  get encrypted(): boolean {
    const forwarded = this.#call.header("x-forwarded-proto");
    return forwarded?.split(",")[0]?.trim() === "https";
  }

  /** Cuts the answer: a caller that waits for one gets an error, one that reads it sees that it is not whole. */
  destroy(_error?: Error): this {
    if (this.destroyed) return this;
    this.#call.cut();
    this.close();
    return this;
  }

  /** @internal Nobody waits any more. */
  close(error?: Error): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.readable = false;
    this.writable = false;
    if (error && this.listenerCount("error") > 0) this.emit("error", error);
    this.emit("close", error !== undefined);
  }

  end(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** A session: the life of one connection, from the hello to its end (spec/protocol.md sections 3, 4, 6, 8).
 *
 *      hello ──> prove ──> declare ──> live ──> draining ──> closed
 *
 *  The reader of the connection never runs application code (P-27): calls wait in `#arrived` until the turn's frames are all
 *  read, so that a cancel beside its call, or the end of the stream, is seen before a handler starts (P-37).
 */
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Call, type CallHost, readCallParams } from "./call.js";
import { Calls } from "./calls.js";
import type { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { errorHead, HeraError, type WireCode } from "./errors.js";
import { sessionLimits } from "./frame.js";
import { type Hello, handshakeResult, helloHead, judgeAnswer, PROVE_ID, prove, proveHead } from "./handshake.js";
import type { WorkerKey } from "./key.js";
import { limits, SILENCE_MS_MAX } from "./limits.js";
import type { Load } from "./load.js";
import { type BadHead, type Message, type Request, type Response, readMessage } from "./message.js";
import { Pending } from "./pending.js";
import { type RemoteNotice, RemoteSession } from "./remote-session.js";
import { Gather, type OutgoingBody } from "./stream.js";
import { UsualParams } from "./usual-call.js";

/** What a session needs of the app. */
export interface SessionHost {
  readonly key: WorkerKey;
  readonly instance: string;
  readonly version: string;
  readonly library: string;
  readonly inFlightMax: number;
  readonly clock: Clock;
  /** Params of `declare`, as JSON. */
  declaration(): string;
  load(): Load;
  /** How this call's body is to be taken: largest size, and whether the handler streams it. */
  bodyRule(endpoint: string): { most: number; stream: boolean };
  /** Runs the handlers. Never throws. */
  start(call: Call, fault: HeraError | undefined): void;
  /** Calls in flight went up or down. */
  counted(difference: 1 | -1): void;
  /** The broker accepted the first declaration. */
  live(session: Session): void;
  /** The broker said that it is going. */
  brokerDrains(session: Session): void;
  /** The end, once. */
  closed(session: Session, error: HeraError): void;
}

type State = "hello" | "prove" | "declare" | "live" | "closed";

export class Session implements CallHost {
  readonly #host: SessionHost;
  readonly #connection: Connection;
  readonly #certificate: Buffer | null;
  readonly #pending = new Pending(PROVE_ID + 1);
  readonly #calls = new Calls<Call>();
  /** The calls that this side makes. */
  readonly remote: RemoteSession;
  readonly #stopTicks: () => void;
  readonly #began: number;
  readonly #hello: string;
  #state: State = "hello";
  /** Whether the broker proved itself: only then is its refusal of our key believed. */
  proven = false;
  #broker = "?";
  #inFlightMax: number;
  #arrived: Call[] = [];
  #starting = false;
  #arrival = 0;
  #heardAt: number;
  #badHeads = 0;
  #fault: HeraError | undefined;
  #idle: (() => void)[] = [];
  /** Notifications that nobody knows, and chunks of calls that are over. */
  dropped = 0;

  constructor(host: SessionHost, socket: Socket, tls: boolean) {
    this.#host = host;
    this.#certificate = tls ? leafHash(socket as TLSSocket) : null;
    this.#inFlightMax = host.inFlightMax;
    this.#began = host.clock.now();
    this.#heardAt = this.#began;
    this.#connection = new Connection(socket, {
      frame: (head, attachment) => this.#frame(head, attachment),
      readEnd: () => this.#readEnd(),
      fault: (fault) => this.#fatal(fault, "frame cannot be"),
      closed: (error) => this.#closed(error),
    });
    this.remote = new RemoteSession(this.#connection, this.#pending, host.clock, () => this.#whenIdle());
    this.#stopTicks = host.clock.onTick((now) => this.#tick(now));
    const hello: Hello = {
      key: host.key.id,
      nonce: randomBytes(32).toString("hex"),
      instance: host.instance,
      version: host.version,
      library: host.library,
      in_flight_max: host.inFlightMax,
    };
    this.#hello = helloHead(hello);
    this.#connection.frame(this.#hello);
  }

  get open(): boolean {
    return this.#state !== "closed" && !this.#connection.closed;
  }

  get isLive(): boolean {
    return this.#state === "live";
  }

  /** The broker's id, `?` before it answered. */
  get broker(): string {
    return this.#broker;
  }

  get inFlight(): number {
    return this.#calls.size;
  }

  frame(head: string, attachment?: Buffer | string): void {
    this.#connection.frame(head, attachment);
  }

  offer(body: OutgoingBody): void {
    this.#connection.offer(body);
  }

  withdraw(body: OutgoingBody): void {
    this.#connection.withdraw(body);
  }

  over(call: Call): void {
    if (!this.#calls.delete(call)) return;
    this.#host.counted(-1);
    this.#whenIdle();
  }

  /** Declares what the app serves now; the former set holds until the broker accepted. */
  declare(done: (error: HeraError | undefined) => void): void {
    const params = this.#host.declaration();
    if (Buffer.byteLength(params) > limits.head_bytes_max - 100) {
      return done(
        new HeraError("declaration_refused", "the declaration does not fit a frame: declare fewer endpoints"),
      );
    }
    this.#request("declare", params, done);
  }

  /** Says that we go, waits for the fence and for the calls in flight, in both directions, writes everything, closes (P-43). */
  async drain(): Promise<void> {
    if (!this.open) return;
    if (this.#state === "live") await new Promise<void>((fence) => this.#request("drain", "{}", () => fence()));
    if (this.#busy && this.open) await new Promise<void>((idle) => this.#idle.push(idle));
    this.remote.live = false;
    if (!this.open) return;
    await new Promise<void>((closed) => {
      this.#idle.push(closed);
      this.#connection.end();
    });
  }

  /** Ends it now. */
  destroy(error: HeraError): void {
    this.#fault ??= error;
    this.#connection.destroy();
  }

  get #busy(): boolean {
    return this.#calls.size > 0 || this.remote.inFlight > 0;
  }

  #whenIdle(): void {
    if (this.#busy || this.#idle.length === 0) return;
    // Before anybody can call this way once more.
    this.remote.live = false;
    this.#wakeIdle();
  }

  #wakeIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const done of idle) done();
  }

  #request(method: string, params: string, done: (error: HeraError | undefined) => void): void {
    if (!this.open) return done(new HeraError("connection_lost", "the connection is closed"));
    const id = this.#pending.push(done);
    this.#connection.frame(`{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`);
  }

  // ---- reading

  #frame(head: Buffer, attachment: Buffer): boolean {
    if (this.#state === "closed") return false;
    if (this.#arrival === 0) this.#arrival = this.#host.clock.arrival();
    if (this.#state === "hello") {
      this.#helloAnswer(head, attachment);
      return this.open;
    }
    const message = readMessage(head);
    if (this.#state === "prove") this.#proveAnswer(message);
    else if (message.kind === "bad") this.#bad(message);
    else this.#message(message, attachment);
    // A call back into this session may have closed it.
    return (this.#state as State) !== "closed";
  }

  #message(message: Exclude<Message, BadHead>, attachment: Buffer): void {
    if (message.kind === "response") this.#answer(message, attachment);
    else if (message.kind === "notification") this.#notification(message.method, message.params, attachment);
    else if (message.method.includes(" ")) this.#call(message, attachment);
    else this.#control(message);
  }

  #readEnd(): void {
    this.#arrival = 0;
    this.#heardAt = this.#host.clock.now();
    if (this.#arrived.length > 0 && !this.#starting) {
      this.#starting = true;
      setImmediate(this.#startArrived);
    }
  }

  #control({ id, method }: Request): void {
    switch (method) {
      case "ping":
        return this.#connection.frame(`{"jsonrpc":"2.0","id":${id},"result":{}}`);
      case "status": {
        const load = JSON.stringify(this.#host.load());
        return this.#connection.frame(`{"jsonrpc":"2.0","id":${id},"result":${load}}`);
      }
      case "drain":
        this.#connection.frame(`{"jsonrpc":"2.0","id":${id},"result":{}}`);
        this.remote.drains = true;
        return this.#host.brokerDrains(this);
      default:
        return this.#connection.frame(errorHead(id, "unknown_method", "no such method here"));
    }
  }

  #answer(response: Response, attachment: Buffer): void {
    const { id, error } = response;
    // A fatal fault of ours, named by the broker (P-12): the end of the stream follows.
    if (id === null && error !== undefined) {
      const { code, message } = error as { code?: unknown; message?: unknown };
      this.#fault ??= new HeraError(
        "connection_lost",
        `broker ended the session: ${String(message)} (${String(code)})`,
      );
      return;
    }
    const fine = this.#pending.answer(response, attachment, this.#host.clock.now());
    if (!fine) this.#fatal("invalid_request", "too many answers to ids that were never issued");
  }

  #notification(method: string, params: unknown, attachment: Buffer): void {
    const notice = (params ?? {}) as RemoteNotice & { remote?: unknown };
    if (notice.remote === true) return this.#remoteNotification(method, notice, attachment);
    const { id, body, bytes } = notice;
    const call = typeof id === "number" ? this.#calls.get(id) : undefined;
    if (!call) {
      this.dropped++;
      return;
    }
    switch (method) {
      case "cancel":
        call.cancel(new HeraError("cancelled", "the caller left, or the deadline passed"));
        return this.over(call);
      case "chunk":
        if (body !== "call" || !call.input) break;
        if (attachment.length === 0) return this.#fatal("invalid_request", "empty chunk");
        if (!call.input.chunk(attachment)) this.#fatal("credit_exceeded", "more chunk bytes than were granted");
        return;
      case "end":
        if (body !== "call") break;
        return call.input?.end();
      case "reset":
        if (body === "reply") return call.stopOutput();
        if (body !== "call") break;
        return call.input?.fail(new HeraError("body_reset", "the body of the call was cut short by its sender"));
      case "credit":
        if (body !== "reply") break;
        if (!Number.isSafeInteger(bytes) || (bytes as number) < 1 || (bytes as number) > 2 ** 31 - 1) {
          return this.#fatal("invalid_params", "credit is not 1 to 2^31 - 1 bytes");
        }
        if (call.output?.credit(bytes as number) === false) this.#fatal("credit_exceeded", "credit over 2^31 - 1");
        return;
    }
    this.dropped++;
  }

  #remoteNotification(method: string, notice: RemoteNotice, attachment: Buffer): void {
    const heard = this.remote.heard(method, notice, attachment);
    if (heard === "dropped") this.dropped++;
    else if (heard !== "heard") this.#fatal(heard.fault, heard.reason);
  }

  // ---- calls

  #call({ id, method, params }: Request, attachment: Buffer): void {
    const checked = params instanceof UsualParams ? params : readCallParams(params);
    if (!checked) return this.#connection.frame(errorHead(id, "invalid_params", "params of the call do not fit"));
    if (this.#calls.size >= this.#inFlightMax || this.#calls.get(id)) {
      return this.#connection.frame(errorHead(id, "busy", `${this.#calls.size} calls are in flight`));
    }
    const call = new Call(this, id, method, checked, attachment, this.#arrival);
    this.#calls.add(call);
    this.#host.counted(1);
    if (!call.input) {
      this.#arrived.push(call);
      return;
    }
    const rule = this.#host.bodyRule(method);
    if (rule.stream) {
      this.#arrived.push(call);
      return;
    }
    call.input.sink = new Gather(call.input, attachment, rule.most, (error, whole) => {
      if (error?.code === "body_reset") call.fail("cancelled", "the body of the call was cut short");
      else if (call.live) {
        call.attachment = whole;
        this.#arrived.push(call);
        if (error) this.#faults.set(call, error);
      }
    });
  }

  /** Calls whose body could not be taken: the app answers them. */
  readonly #faults = new WeakMap<Call, HeraError>();

  readonly #startArrived = (): void => {
    if (this.#host.clock.late && this.open) {
      setImmediate(this.#startArrived);
      return;
    }
    this.#starting = false;
    const calls = this.#arrived;
    this.#arrived = [];
    this.#connection.hold();
    for (const call of calls) {
      if (!call.live) continue;
      // Asked anew for each: the process may be frozen between two of them, or the one before may take long (P-37).
      if (call.deadline <= this.#host.clock.now())
        call.fail("past_deadline", "the deadline passed before the handler started");
      else this.#host.start(call, this.#faults.get(call));
    }
    this.#connection.release();
  };

  #tick(now: number): void {
    for (const call of this.#calls.all()) {
      if (call.deadline <= now) call.abort(new HeraError("past_deadline", "the deadline passed"));
    }
    if (this.remote.overdue(now)) setImmediate(() => this.#expireRemote());
    if (this.#state !== "live" && now - this.#began > limits.handshake_ms_max) {
      return this.destroy(new HeraError("handshake_timeout", "the handshake took over 5 s"));
    }
    if (now - this.#heardAt > SILENCE_MS_MAX) setImmediate(() => this.#judgeSilence());
  }

  /** As silence is judged: an answer that waited in the socket while we were frozen counts. */
  #expireRemote(): void {
    if (this.#host.clock.late && this.open) setImmediate(() => this.#expireRemote());
    else this.remote.expire(this.#host.clock.now());
  }

  /** Runs after the sockets were polled once more: what waited there was read (P-26). */
  #judgeSilence(): void {
    if (!this.open) return;
    if (this.#host.clock.late) {
      setImmediate(() => this.#judgeSilence());
      return;
    }
    if (this.#host.clock.now() - this.#heardAt <= SILENCE_MS_MAX) return;
    this.destroy(new HeraError("silent_broker", "no frame came for 8 s"));
  }

  // ---- handshake

  #helloAnswer(head: Buffer, proof: Buffer): void {
    const { key } = this.#host;
    const answer = judgeAnswer(key, Buffer.from(this.#hello), head, proof, this.#certificate);
    if (answer instanceof HeraError) return this.#handshakeFailed(answer);
    this.proven = true;
    this.#broker = answer.broker;
    this.#inFlightMax = Math.min(answer.in_flight_max, this.#inFlightMax);
    this.remote.inFlightMax = this.#inFlightMax;
    this.remote.offered = answer.remote;
    this.#state = "prove";
    this.#connection.frame(proveHead, prove(key.seed, "worker", answer.said));
  }

  #proveAnswer(message: Message): void {
    const result = handshakeResult(message, PROVE_ID);
    if (result instanceof HeraError) return this.#handshakeFailed(result);
    this.#connection.limits = sessionLimits;
    this.#state = "declare";
    this.declare((error) => {
      if (error) return this.destroy(error);
      this.#state = "live";
      this.remote.live = true;
      this.#host.live(this);
    });
  }

  /** A message out of order is named to the broker; anything else it knows already, or need not know. */
  #handshakeFailed(error: HeraError): void {
    if (error.code === "handshake_required") this.#fatal("handshake_required", error.message);
    else this.destroy(error);
  }

  // ---- faults and the end

  #bad({ code, id, reason }: BadHead): void {
    if (id !== undefined) this.#pending.fail(id, new HeraError("bad_reply", reason));
    if (++this.#badHeads >= limits.bad_heads_max) return this.#fatal(code, reason);
    this.#connection.frame(errorHead(id ?? null, code, reason));
  }

  /** Names the fault to the broker, once, and closes (P-12). */
  #fatal(code: WireCode, reason: string): void {
    if (this.#fault || this.#state === "closed") return;
    this.#fault = new HeraError(code, reason);
    this.#connection.frame(errorHead(null, code, reason));
    this.#connection.end();
    this.#finish(this.#fault);
  }

  #closed(error: Error | undefined): void {
    const text = error ? `connection lost: ${error.message}` : "the broker closed the connection";
    this.#finish(this.#fault ?? new HeraError("connection_lost", text, { cause: error }));
  }

  #finish(error: HeraError): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#stopTicks();
    this.remote.lost(error);
    this.#pending.failAll(error);
    for (const call of this.#calls.all()) {
      call.cancel(new HeraError("connection_lost", "the broker's connection ended"));
      this.over(call);
    }
    this.#arrived = [];
    this.#wakeIdle();
    this.#host.closed(this, error);
  }
}

/** SHA-256 of the broker's leaf certificate (DER), part of what both sides sign (P-16). */
function leafHash(socket: TLSSocket): Buffer {
  return createHash("sha256").update(socket.getPeerCertificate().raw).digest();
}

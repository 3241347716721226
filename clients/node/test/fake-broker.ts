/** A broker for tests: real TCP or TLS, speaks hera/1, and does what the test tells it, also what a broker must not do. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { encodeFrame, FrameReader, sessionLimits } from "../src/frame.js";
import { prove, publicOf, transcript, verifies } from "../src/handshake.js";

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
export type Json = any;

export interface Received {
  message: Json;
  attachment: Buffer;
}

/** A remote call, as the broker sees it. */
export interface Remote {
  id: number;
  params: Json;
  body: Buffer;
}

const clusterSeed = randomBytes(32);
const workerSeed = randomBytes(32);

/** A worker key that the fake broker knows. */
export const secret = keyText("0123456789abcdef", workerSeed, publicOf(clusterSeed));

export function keyText(id: string, seed: Buffer, cluster: Buffer): string {
  const text = `herakey_${id}${seed.toString("hex")}${cluster.toString("hex")}`;
  return text + createHash("sha256").update(text).digest("hex").slice(0, 8);
}

export interface Manners {
  /** Signs its proof with another cluster's key. */
  impostor?: boolean;
  version?: number;
  /** Error code that it answers to `prove`. */
  refuse?: string;
  /** Error code that it answers to `hello`. */
  refuseHello?: string;
  /** Endpoints that it refuses. */
  forbid?: string[];
  limits?: Json;
  /** Default: all that there are. */
  features?: string[];
  /** Its id. */
  id?: string;
  /** Answers nothing at all. */
  mute?: boolean;
  tls?: { key: string; cert: string; leaf: Buffer };
}

/** One worker's connection, as the broker sees it. */
export class Worker {
  readonly socket: Socket;
  readonly received: Received[] = [];
  endpoints: Json[] = [];
  declarations = 0;
  closed = false;
  hello: Json;
  /** Answers `drain` by itself. */
  fence = true;
  #nextId = 1;
  #waiters: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  take(message: Json, attachment: Buffer): void {
    this.received.push({ message, attachment: Buffer.from(attachment) });
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  send(message: Json, attachment?: Buffer): void {
    const head = typeof message === "string" ? message : JSON.stringify({ jsonrpc: "2.0", ...message });
    this.socket.write(encodeFrame(head, attachment));
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  nextId(): number {
    return this.#nextId++;
  }

  /** Bytes of a call's frame. */
  callFrame(id: number, endpoint: string, params: Json = {}, body?: Buffer): Buffer {
    const [method = "GET", pattern = "/"] = endpoint.split(" ");
    const path = params.path ?? pattern;
    const whole = {
      method: method === "*" ? "GET" : method,
      target: params.query ? `${path}?${params.query}` : path,
      path,
      query: null,
      path_params: {},
      headers: [],
      request_id: `r-${id}`,
      caller: { token: "demo", labels: {}, ip: "127.0.0.1" },
      timeout_ms: 15_000,
      ...params,
    };
    return encodeFrame(JSON.stringify({ jsonrpc: "2.0", id, method: endpoint, params: whole }), body);
  }

  /** Sends a call and gives its id. */
  call(endpoint: string, params: Json = {}, body?: Buffer): number {
    const id = this.nextId();
    this.socket.write(this.callFrame(id, endpoint, params, body));
    return id;
  }

  /** Sends a call and waits for its response. */
  async ask(endpoint: string, params: Json = {}, body?: Buffer): Promise<Received> {
    return this.response(this.call(endpoint, params, body));
  }

  response(id: number): Promise<Received> {
    return this.until(({ message }) => message.id === id && message.method === undefined);
  }

  /** The `n`th remote call that the worker made. */
  async remote(n = 0): Promise<Remote> {
    const all = (): Received[] => this.received.filter(({ message }) => message.method === "call");
    await this.when(() => all().length > n);
    const { message, attachment } = all()[n] as Received;
    return { id: message.id, params: message.params, body: attachment };
  }

  /** Answers a remote call, by default with 200 and no headers. */
  answer(id: number, result: Json = {}, body?: Buffer | string): void {
    const meta = { worker: "users/1.0/a", attempts: 1, took_ms: { queue: 0, worker: 0, bus: 0 } };
    this.send(
      { id, result: { status: 200, headers: [], meta, ...result } },
      body === undefined ? body : Buffer.from(body),
    );
  }

  /** Answers a remote call with an error of the broker's. */
  refuse(id: number, code: string, status: number, more: Json = {}): void {
    const data = { code, executed: "no", status, request_id: "r-broker", ...more };
    this.send({ id, error: { code: -32000, message: `because of ${code}`, data } });
  }

  /** Waits until all that was sent to the worker is read. */
  async settled(): Promise<void> {
    const id = this.nextId();
    this.send({ id, method: "ping", params: {} });
    await this.response(id);
  }

  notifications(method: string, id: number): Received[] {
    return this.received.filter(({ message }) => message.method === method && message.params.id === id);
  }

  /** Waits for a message that fits; fails when the connection ends before. */
  async until(fits: (received: Received) => boolean): Promise<Received> {
    for (;;) {
      const found = this.received.find(fits);
      if (found) return found;
      assert.ok(!this.closed, "the worker closed the connection");
      await new Promise<void>((wake) => this.#waiters.push(wake));
    }
  }

  /** Waits until something holds, looked at after every message. */
  async when(holds: () => boolean): Promise<void> {
    while (!holds()) {
      assert.ok(!this.closed, "the worker closed the connection");
      await new Promise<void>((wake) => this.#waiters.push(wake));
    }
  }

  async gone(): Promise<void> {
    while (!this.closed) await new Promise<void>((wake) => this.#waiters.push(wake));
  }
}

export class FakeBroker {
  readonly manners: Manners;
  readonly workers: Worker[] = [];
  /** Connections that were ever accepted. */
  accepted = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiters: (() => void)[] = [];

  constructor(manners: Manners = {}) {
    this.manners = manners;
    const serve = (socket: Socket): void => this.#serve(socket);
    this.#server = manners.tls ? createTlsServer(manners.tls, serve) : createServer(serve);
  }

  static async start(manners: Manners = {}, port = 0): Promise<FakeBroker> {
    const broker = new FakeBroker(manners);
    broker.#server.listen(port, "127.0.0.1");
    await once(broker.#server, "listening");
    return broker;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `hera://127.0.0.1:${this.port}`;
  }

  /** Waits for the `n`th worker that declared. */
  async worker(n = 0): Promise<Worker> {
    while (!this.workers[n]) await new Promise<void>((wake) => this.#waiters.push(wake));
    return this.workers[n] as Worker;
  }

  async attempts(n: number): Promise<void> {
    while (this.accepted < n) await new Promise<void>((wake) => this.#waiters.push(wake));
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #serve(socket: Socket): void {
    this.accepted++;
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    this.#wake();
    const worker = new Worker(socket);
    const reader = new FrameReader(sessionLimits);
    let said: Buffer = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      const fault = reader.push(bytes, (head, attachment) => {
        const message = JSON.parse(head.toString()) as Json;
        if (message.method === "hello") said = this.#hello(worker, message, Buffer.from(head));
        else if (message.method === "prove") this.#prove(worker, message, said, attachment);
        else if (message.method === "declare") this.#declare(worker, message);
        else worker.take(message, attachment);
        if (message.method === "drain" && worker.fence) worker.send({ id: message.id, result: {} });
        return true;
      });
      assert.equal(fault, undefined);
    });
  }

  #hello(worker: Worker, message: Json, head: Buffer): Buffer {
    const { manners } = this;
    worker.hello = message.params;
    if (manners.mute) return head;
    if (manners.refuseHello) {
      worker.send({ id: null, error: { code: -32011, message: "no", data: { code: manners.refuseHello } } });
      worker.socket.end();
      return head;
    }
    const result = {
      version: manners.version ?? 1,
      features: manners.features ?? ["remote_call"],
      limits: manners.limits,
      nonce: randomBytes(32).toString("hex"),
      broker: manners.id ?? "b-fake",
      library: "fake 0",
    };
    const answer = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, result }));
    const certificate = manners.tls ? createHash("sha256").update(manners.tls.leaf).digest() : null;
    const said = transcript(head, answer, certificate);
    const proof = prove(manners.impostor ? randomBytes(32) : clusterSeed, "broker", said);
    worker.socket.write(encodeFrame(answer, proof));
    return said;
  }

  #prove(worker: Worker, message: Json, said: Buffer, proof: Buffer): void {
    const good = verifies(publicOf(workerSeed), "worker", said, proof);
    if (good && !this.manners.refuse) return worker.send({ id: message.id, result: { service: "fake" } });
    const code = this.manners.refuse ?? "unauthenticated";
    worker.send({ id: null, error: { code: -32012, message: "refused", data: { code } } });
    worker.socket.end();
  }

  #declare(worker: Worker, message: Json): void {
    const endpoints = message.params.endpoints as Json[];
    const refused = endpoints
      .filter(({ endpoint }) => this.manners.forbid?.includes(endpoint))
      .map(({ endpoint }) => ({ endpoint, code: "endpoint_forbidden", message: "not in --serve" }));
    worker.declarations++;
    if (refused.length > 0) {
      const data = { code: "declaration_refused", endpoints: refused };
      return worker.send({ id: message.id, error: { code: -32020, message: "refused", data } });
    }
    worker.endpoints = endpoints;
    worker.send({ id: message.id, result: { accepted: endpoints.length } });
    if (!this.workers.includes(worker)) this.workers.push(worker);
    this.#wake();
  }
}

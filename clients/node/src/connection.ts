/** One connection to a broker: frames in, frames out; knows nothing of what they mean.
 *
 *  Out: small frames are gathered and written once per turn of the event loop. Chunks of bodies wait in one queue for each body
 *  and go round robin, and only while the socket holds little, so that a ping or a reply is never behind megabytes (P-42).
 *
 *      frame() ──> batch ──────────────┐ one write per turn
 *      bodies: a b c ── round robin ───┴──> socket (at most about 256 KiB of chunks)
 */
import type { Socket } from "node:net";
import { type FrameFault, type FrameLimits, FrameReader, handshakeLimits } from "./frame.js";

/** A body that is being sent in chunks. */
export interface ChunkSource {
  /** Whether it could send right now: bytes and credit, or its end. */
  readonly ready: boolean;
  /** Sends one chunk, or the end. */
  sendOne(): void;
}

export interface ConnectionEvents {
  /** Gives false to stop reading. */
  frame(head: Buffer, attachment: Buffer): boolean;
  /** After every frame of one read was handed on. */
  readEnd(): void;
  fault(fault: FrameFault): void;
  closed(error: Error | undefined): void;
}

const BLOCK_BYTES = 65_536;
/** Attachments up to here are copied into the batch; larger ones are written as they are. */
const COPY_BYTES_MAX = 16_384;
/** No further chunk is handed to the socket while it holds this much. */
const CHUNKS_HELD_MAX = 262_144;
/** Silence after which a connection that we ended is cut. */
const LINGER_MS = 2_000;

export class Connection {
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #reader = new FrameReader(handshakeLimits);
  #error: Error | undefined;
  #closed = false;

  #block = Buffer.allocUnsafeSlow(4_096);
  #from = 0;
  #to = 0;
  #pieces: Buffer[] = [];
  #piecesBytes = 0;
  #flushing = false;
  #holding = false;
  #sources: ChunkSource[] = [];
  /** How often bytes were handed to the socket: a frame is, in part or whole, once this is more than when it was queued. */
  writes = 0;

  /** @param socket connected; on TLS after its handshake */
  constructor(socket: Socket, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("drain", () => this.#pump());
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => {
      this.#closed = true;
      this.#sources = [];
      this.#events.closed(this.#error);
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  set limits(limits: FrameLimits) {
    this.#reader.limits = limits;
  }

  /** Queues one frame; it goes out with all others of this turn. */
  frame(head: string, attachment?: Buffer | string): void {
    if (this.#closed) return;
    if (typeof attachment === "string" && attachment.length > COPY_BYTES_MAX) attachment = Buffer.from(attachment);
    const large = typeof attachment === "object" && attachment.length > COPY_BYTES_MAX;
    // Three bytes for each code unit is the most that UTF-8 takes.
    const most =
      8 +
      head.length * 3 +
      (attachment === undefined || large ? 0 : attachment.length * (typeof attachment === "string" ? 3 : 1));
    if (this.#block.length - this.#to < most) this.#newBlock(most);

    const start = this.#to;
    const headBytes = this.#block.write(head, start + 8);
    let at = start + 8 + headBytes;
    let attachmentBytes = 0;
    if (typeof attachment === "string") attachmentBytes = this.#block.write(attachment, at);
    else if (attachment) attachmentBytes = large ? attachment.length : attachment.copy(this.#block, at);
    if (!large) at += attachmentBytes;
    this.#block.writeUInt32BE(4 + headBytes + attachmentBytes, start);
    this.#block.writeUInt32BE(headBytes, start + 4);
    this.#to = at;
    if (large) {
      this.#cut();
      this.#piece(attachment as Buffer);
    }
    this.#schedule();
  }

  /** Holds back writing until `release()`: what is answered in between goes out in one write. */
  hold(): void {
    this.#holding = true;
  }

  release(): void {
    this.#holding = false;
    this.#flush();
  }

  /** Tells that this body may have become ready to send. */
  offer(source: ChunkSource): void {
    if (this.#closed || !source.ready) return;
    if (!this.#sources.includes(source)) this.#sources.push(source);
    this.#pump();
  }

  /** Forgets a body that was reset. */
  withdraw(source: ChunkSource): void {
    const at = this.#sources.indexOf(source);
    if (at >= 0) this.#sources.splice(at, 1);
  }

  /** Closes once everything written has left; a peer that does not close its side in turn is not waited for. */
  end(): void {
    this.#flush();
    this.#socket.end();
    this.#socket.setTimeout(LINGER_MS, () => this.#socket.destroy());
  }

  /** Closes at once. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    if (this.#closed) return;
    const fault = this.#reader.push(bytes, this.#onFrame);
    if (fault) this.#events.fault(fault);
    this.#events.readEnd();
  }

  readonly #onFrame = (head: Buffer, attachment: Buffer): boolean => this.#events.frame(head, attachment);

  #pump(): void {
    while (this.#sources.length > 0 && this.#heldBytes() < CHUNKS_HELD_MAX) {
      const source = this.#sources.shift() as ChunkSource;
      source.sendOne();
      if (source.ready) this.#sources.push(source);
    }
  }

  #heldBytes(): number {
    return this.#socket.writableLength + this.#piecesBytes + this.#to - this.#from;
  }

  #schedule(): void {
    if (this.#flushing || this.#holding) return;
    this.#flushing = true;
    setImmediate(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    this.#flushing = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#closed || this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#cut();
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#piecesBytes = 0;
    this.writes++;
    if (pieces.length === 1) {
      this.#socket.write(pieces[0] as Buffer);
    } else {
      this.#socket.cork();
      for (const piece of pieces) this.#socket.write(piece);
      this.#socket.uncork();
    }
    // Nearly always the kernel took all of it at once, and then the block is free to be written over.
    if (this.#socket.writableLength === 0) {
      this.#from = 0;
      this.#to = 0;
    }
    this.#pump();
  }

  /** Ends the current piece; the block goes on behind it, since the socket may still hold it. */
  #cut(): void {
    if (this.#from === this.#to) return;
    this.#piece(this.#block.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  #piece(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#piecesBytes += bytes.length;
  }

  #newBlock(least: number): void {
    this.#cut();
    this.#block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, least));
    this.#from = 0;
    this.#to = 0;
  }
}

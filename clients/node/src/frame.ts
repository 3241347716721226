/** Frames: `u32 length`, `u32 head length`, head, attachment (P-1 to P-5). */
import { limits } from "./limits.js";

export interface FrameLimits {
  head: number;
  attachment: number;
}

/** What holds until the handshake is done (P-3). */
export const handshakeLimits: FrameLimits = {
  head: limits.handshake_head_bytes_max,
  attachment: limits.handshake_attachment_bytes_max,
};

export const sessionLimits: FrameLimits = {
  head: limits.head_bytes_max,
  attachment: limits.attachment_bytes_max,
};

export type FrameFault = "bad_frame" | "frame_too_large";

/** Gets one frame; both buffers are views into what was read. Gives false to stop reading. */
export type OnFrame = (head: Buffer, attachment: Buffer) => boolean;

const PREFIX = 8;
const NOTHING = Buffer.alloc(0);

/** Cuts what a socket gives into frames.
 *
 *  A frame that lies whole in one read is never copied; one that came in parts is put together once, when its last part is here.
 *  The lengths are judged from the first 8 bytes, so nothing is kept for a frame that would be refused (P-3). */
export class FrameReader {
  limits: FrameLimits;
  #parts: Buffer[] = [];
  #held = 0;
  /** Bytes that must be held before there is anything to do. */
  #wanted = PREFIX;

  constructor(frameLimits: FrameLimits) {
    this.limits = frameLimits;
  }

  /** Bytes kept of a frame that is not whole yet. */
  get held(): number {
    return this.#held;
  }

  /** Takes the next bytes and hands on every frame they complete; gives the fault that ends the stream, if there is one. */
  push(bytes: Buffer, onFrame: OnFrame): FrameFault | undefined {
    if (this.#held > 0) {
      this.#parts.push(bytes);
      this.#held += bytes.length;
      if (this.#held < this.#wanted) return undefined;
      bytes = Buffer.concat(this.#parts, this.#held);
      this.#parts = [];
      this.#held = 0;
    }

    let at = 0;
    while (bytes.length - at >= PREFIX) {
      const length = bytes.readUInt32BE(at);
      const headLength = bytes.readUInt32BE(at + 4);
      const fault = judge(length, headLength, this.limits);
      if (fault) return fault;
      const end = at + 4 + length;
      if (end > bytes.length) return this.#keep(bytes, at, 4 + length);
      const headEnd = at + PREFIX + headLength;
      const goOn = onFrame(
        bytes.subarray(at + PREFIX, headEnd),
        headEnd === end ? NOTHING : bytes.subarray(headEnd, end),
      );
      at = end;
      if (!goOn) return undefined;
    }
    return this.#keep(bytes, at, PREFIX);
  }

  #keep(bytes: Buffer, at: number, wanted: number): undefined {
    this.#wanted = wanted;
    if (at === bytes.length) return;
    this.#parts.push(at === 0 ? bytes : bytes.subarray(at));
    this.#held = bytes.length - at;
  }
}

/** Judges a frame by its first 8 bytes (P-3, P-4). */
function judge(length: number, headLength: number, { head, attachment }: FrameLimits): FrameFault | undefined {
  if (length < 4 || headLength < 2 || headLength > length - 4) return "bad_frame";
  if (headLength > head || length - 4 - headLength > attachment) return "frame_too_large";
  return undefined;
}

/** One frame as bytes; the session's own writer batches instead of using this. */
export function encodeFrame(head: string | Buffer, attachment: Buffer = Buffer.alloc(0)): Buffer {
  const headBytes = typeof head === "string" ? Buffer.from(head) : head;
  const prefix = Buffer.allocUnsafe(PREFIX);
  prefix.writeUInt32BE(4 + headBytes.length + attachment.length, 0);
  prefix.writeUInt32BE(headBytes.length, 4);
  return Buffer.concat([prefix, headBytes, attachment]);
}

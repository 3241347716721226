/** Cuts what a ZooKeeper server sends into frames: four bytes of length, then so many bytes. */
import { JuteError } from "./jute.js";

/** A server's own limit for a node is just under 1 MiB (`jute.maxbuffer`); an answer has a head and a stat beside it. */
export const FRAME_BYTES_MAX = 1_048_576 + 1_024;

export class FrameCutter {
  readonly #length = Buffer.alloc(4);
  #lengthBytes = 0;
  #frame: Buffer | undefined;
  #frameBytes = 0;

  /** Hands on each frame that is whole; `take` gives false to stop.
   *  @throws JuteError when a length is over the limit */
  push(bytes: Buffer, take: (frame: Buffer) => boolean): void {
    let at = 0;
    while (at < bytes.length) {
      if (!this.#frame) {
        const copied = bytes.copy(this.#length, this.#lengthBytes, at);
        at += copied;
        this.#lengthBytes += copied;
        if (this.#lengthBytes < 4) return;
        this.#begin();
      }
      const frame = this.#frame as Buffer;
      const copied = bytes.copy(frame, this.#frameBytes, at);
      at += copied;
      this.#frameBytes += copied;
      if (this.#frameBytes < frame.length) return;
      this.#frame = undefined;
      this.#lengthBytes = 0;
      if (!take(frame)) return;
    }
  }

  #begin(): void {
    const length = this.#length.readInt32BE();
    if (length < 1 || length > FRAME_BYTES_MAX) {
      throw new JuteError(`frame of ${length} bytes is not within 1 to ${FRAME_BYTES_MAX}`);
    }
    this.#frame = Buffer.allocUnsafe(length);
    this.#frameBytes = 0;
  }
}

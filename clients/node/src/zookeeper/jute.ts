/** Jute, ZooKeeper's encoding: big-endian numbers, and bytes with their length in front.
 *
 *  The reader is strict: whatever does not fit what is there throws a `JuteError`, and nothing is allocated by a length
 *  that the server only claims. */

/** The bytes are not what the protocol has at this place. */
export class JuteError extends Error {
  override readonly name = "JuteError";
}

export class JuteWriter {
  readonly #parts: Buffer[] = [];

  int(value: number): this {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeInt32BE(value);
    return this.#part(bytes);
  }

  long(value: bigint): this {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(value);
    return this.#part(bytes);
  }

  bool(value: boolean): this {
    return this.#part(Buffer.from([value ? 1 : 0]));
  }

  buffer(bytes: Buffer): this {
    return this.int(bytes.length).#part(bytes);
  }

  string(text: string): this {
    return this.buffer(Buffer.from(text));
  }

  /** What was written, as one frame: its length in front. */
  frame(): Buffer {
    const body = Buffer.concat(this.#parts);
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(body.length);
    return Buffer.concat([length, body]);
  }

  #part(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }
}

export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  long(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8));
  }

  bool(): boolean {
    const byte = this.#bytes[this.#take(1)] as number;
    if (byte > 1) throw new JuteError(`boolean is ${byte}`);
    return byte === 1;
  }

  /** A view into the frame; null, which Jute has as length -1, is given as no bytes. */
  buffer(): Buffer {
    const length = this.int();
    if (length === -1) return Buffer.alloc(0);
    if (length < 0) throw new JuteError(`length is ${length}`);
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  /** Text; bytes that are not UTF-8 become U+FFFD, since whoever named a node badly must not end our connection. */
  string(): string {
    return this.buffer().toString();
  }

  strings(): string[] {
    const count = this.int();
    // Each has four bytes of length at the least.
    if (count < -1 || count * 4 > this.left) throw new JuteError(`list of ${count} entries in ${this.left} bytes`);
    const list: string[] = [];
    for (let i = 0; i < count; i++) list.push(this.string());
    return list;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Nothing may be left over. */
  end(): void {
    if (this.left > 0) throw new JuteError(`${this.left} bytes too many`);
  }

  #take(count: number): number {
    if (count > this.left) throw new JuteError(`${count} bytes wanted, ${this.left} left`);
    const from = this.#at;
    this.#at += count;
    return from;
  }
}

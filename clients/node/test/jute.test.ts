import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_BYTES_MAX, FrameCutter } from "../src/zookeeper/frames.js";
import { JuteError, JuteReader, JuteWriter } from "../src/zookeeper/jute.js";
import { connectRequest, nobody, readChildren, readGranted } from "../src/zookeeper/messages.js";

test("values are written as zookeeper writes them", () => {
  const frame = new JuteWriter()
    .int(-2)
    .long(1n)
    .bool(true)
    .string("/é")
    .buffer(Buffer.from([7]))
    .frame();
  assert.equal(
    frame.toString("hex"),
    `00000019${"fffffffe"}${"0000000000000001"}${"01"}${"000000032fc3a9"}${"0000000107"}`,
  );
});

test("connect request is the one that servers know", () => {
  const hex = connectRequest(nobody, 10_000).toString("hex");
  assert.equal(hex, `0000002d00000000${"0".repeat(16)}00002710${"0".repeat(16)}00000010${"0".repeat(32)}00`);
});

test("answer to a connect is read with and without the word on being read-only", () => {
  const old = `00000000000013880000000000000005${"00000002"}${"abcd"}`;
  for (const hex of [old, `${old}01`]) {
    const granted = readGranted(new JuteReader(Buffer.from(hex, "hex")));
    assert.deepEqual(granted, { timeoutMs: 5_000, id: 5n, password: Buffer.from("abcd", "hex") });
  }
});

test("what does not fit is refused, whatever it claims", () => {
  const refused: [string, (reader: JuteReader) => unknown][] = [
    ["000000", (reader) => reader.int()],
    ["00000000000000", (reader) => reader.long()],
    ["", (reader) => reader.bool()],
    ["02", (reader) => reader.bool()],
    ["0000000461", (reader) => reader.buffer()],
    ["7fffffff61", (reader) => reader.buffer()],
    ["fffffffe", (reader) => reader.buffer()],
    ["7fffffff", (reader) => reader.strings()],
    ["fffffffe", (reader) => reader.strings()],
    ["000000020000000161", (reader) => reader.strings()],
    ["00000000", (reader) => readChildren(reader)],
    ["0000000000", (reader) => [reader.int(), reader.end()]],
  ];
  for (const [hex, read] of refused) {
    assert.throws(() => read(new JuteReader(Buffer.from(hex, "hex"))), JuteError, hex);
  }
});

test("null is read as nothing, and bytes that are no UTF-8 as some text", () => {
  assert.deepEqual(new JuteReader(Buffer.from("ffffffff", "hex")).buffer(), Buffer.alloc(0));
  assert.deepEqual(new JuteReader(Buffer.from("ffffffff", "hex")).strings(), []);
  assert.equal(new JuteReader(Buffer.from("0000000261ff", "hex")).string(), "a\ufffd");
});

test("random bytes are read or refused, and nothing else happens", () => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const bytes = Buffer.alloc(seed % 97, 0);
    for (let i = 0, x = seed; i < bytes.length; i++) {
      x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 0;
      // Small numbers often: those are lengths that may fit.
      bytes[i] = x & 0x10000 ? 0 : (x >>> 16) & 0xff;
    }
    for (const read of [readChildren, readGranted]) {
      try {
        read(new JuteReader(bytes));
      } catch (error) {
        assert.ok(error instanceof JuteError, `seed ${seed}: ${error}`);
      }
    }
  }
});

test("frames are cut the same, however the bytes arrive", () => {
  const frames = [Buffer.from([1]), Buffer.alloc(300, 2), Buffer.from([3, 3])];
  const bytes = Buffer.concat(frames.map((frame) => new JuteWriter().buffer(frame).frame().subarray(4)));
  for (const step of [1, 2, 3, 5, 7, bytes.length]) {
    const cutter = new FrameCutter();
    const got: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += step) {
      cutter.push(bytes.subarray(at, at + step), (frame) => got.push(frame) > 0);
    }
    assert.deepEqual(got, frames, `${step} bytes at a time`);
  }
});

test("frame over the limit, empty or negative is refused by its length alone", () => {
  for (const length of [FRAME_BYTES_MAX + 1, 0x7fffffff, 0, -1]) {
    assert.throws(
      () => new FrameCutter().push(new JuteWriter().int(length).frame().subarray(4), () => true),
      JuteError,
    );
  }
});

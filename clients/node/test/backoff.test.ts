import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";

test("bound doubles from the least to the most, and starts over after a reset", () => {
  const backoff = new Backoff(100, 10_000, () => 1);

  const waits = Array.from({ length: 9 }, () => backoff.next());
  backoff.reset();

  assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  assert.equal(backoff.next(), 100);
});

test("wait is anything from nothing to the bound", () => {
  const draws = [0, 0.5, 0.999];
  const backoff = new Backoff(100, 100, () => draws.shift() ?? 0);
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [0, 50, 100]);
});

test("ten thousand failures later the bound still stands", () => {
  const backoff = new Backoff(100, 10_000, () => 1);
  for (let i = 0; i < 10_000; i++) assert.ok(backoff.next() <= 10_000);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../src/clock.js";

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

test("what is read in time counts from now", () => {
  let now = 1_000;
  const clock = new Clock(() => now);
  clock.start();
  now = 1_100;
  assert.equal(clock.arrival(), 1_100);
  assert.equal(clock.late, false);
  clock.stop();
});

test("what is read after a freeze counts from the tick before, until a turn read nothing", async () => {
  let now = 1_000;
  const clock = new Clock(() => now);
  clock.start();

  now = 31_000;
  assert.equal(clock.arrival(), 1_000);
  assert.equal(clock.late, true);
  await turn();
  assert.equal(clock.arrival(), 1_000);
  while (clock.late) await turn();

  clock.stop();
});

test("late tick alone makes the next reads late", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let now = 0;
  const clock = new Clock(() => now);
  clock.start();

  now = 5_000;
  t.mock.timers.tick(100);

  assert.equal(clock.arrival(), 0);
  clock.stop();
});

test("stopped clock tells the time and nothing else", () => {
  let now = 0;
  const clock = new Clock(() => now);
  now = 60_000;
  assert.equal(clock.arrival(), 60_000);
});

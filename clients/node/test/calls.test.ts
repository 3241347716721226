import assert from "node:assert/strict";
import { test } from "node:test";
import { Calls } from "../src/calls.js";

test("calls whose ids meet in one slot are kept apart", () => {
  const calls = new Calls<{ id: number }>();
  const ids = [7, 7 + 1_024, 7 + 2_048, 2 ** 53 - 1];
  const each = ids.map((id) => ({ id }));
  for (const call of each) calls.add(call);

  assert.deepEqual(
    ids.map((id) => calls.get(id)),
    each,
  );
  assert.deepEqual(new Set(calls.all()), new Set(each));
  assert.equal(calls.get(7 + 4_096), undefined);

  const [first, second] = each as [{ id: number }, { id: number }];
  assert.equal(calls.delete(first), true);
  assert.equal(calls.delete(first), false);
  assert.equal(calls.get(first.id), undefined);
  assert.equal(calls.get(second.id), second);
  assert.equal(calls.delete({ id: second.id }), false);
  assert.equal(calls.delete(second), true);
  assert.equal(calls.size, 2);
});

test("a slot that another call left is taken anew", () => {
  const calls = new Calls<{ id: number }>();
  for (let id = 1; id <= 5_000; id++) {
    const call = { id };
    calls.add(call);
    assert.equal(calls.get(id), call);
    assert.equal(calls.delete(call), true);
  }
  assert.equal(calls.size, 0);
  assert.deepEqual(calls.all(), []);
});

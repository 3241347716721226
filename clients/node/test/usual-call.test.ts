import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readUsualCall } from "../src/usual-call.js";

/** A call as `CallOut::write` of hera-protocol writes it. */
function head(more: { headers?: [string, string][]; caller?: object; trace?: object; rest?: string } = {}): string {
  const {
    headers = [["host", "h:1"]],
    caller = { token: "demo", labels: { a: "1" }, ip: "::1" },
    trace,
    rest = "",
  } = more;
  const traced = trace ? `,"trace":${JSON.stringify(trace)}` : "";
  return (
    '{"jsonrpc":"2.0","id":7,"method":"GET /0/u/{id}","params":{"method":"GET","target":"/0/u/%C3%BC?a=1","path":"/0/u/%C3%BC",' +
    `"query":"a=1","path_params":{"id":"\\u00fc \\""},"headers":${JSON.stringify(headers)},"request_id":"r-1",` +
    `"caller":${JSON.stringify(caller)}${traced},"timeout_ms":15000${rest}}}`
  );
}

/** What is told apart of a call, with what stands for a member that is not there. */
// biome-ignore lint/suspicious/noExplicitAny: whatever a text may hold.
function told({ id, method, params }: any): unknown {
  const { method: verb, target, path, query, headers, request_id, caller, trace, timeout_ms, chain, more } = params;
  return {
    id,
    method,
    verb,
    target,
    path,
    query,
    headers,
    request_id,
    caller,
    trace,
    timeout_ms,
    chain,
    more: more === true,
  };
}

const CALLS = {
  "a plain one": head(),
  "no headers": head({ headers: [] }),
  "headers with escapes": head({
    headers: [
      ["if-none-match", 'W/"1", "\\"'],
      ["x", "\u00e9\t"],
      ["x", "2"],
    ],
  }),
  "an anonymous caller": head({ caller: { token: null, labels: {}, ip: "127.0.0.1" } }),
  "a service as the caller": head({ caller: { token: "t", labels: { a: "1", b: "2" }, ip: "::1", service: "users" } }),
  "a trace": head({ trace: { traceparent: "00-1-2-01", tracestate: 'a="b"' } }),
  "a chain": head({ rest: ',"chain":["0123456789abcdef","fedcba9876543210"]' }),
  "a body in chunks": head({ rest: ',"chain":[],"more":true' }),
};

for (const [name, text] of Object.entries(CALLS)) {
  test(`${name} is read as JSON has it`, () => {
    const call = readUsualCall(text);

    assert.ok(call);
    assert.deepEqual(told(call), told(JSON.parse(text)));
  });
}

test("what is no call as brokers write it is left to the long way", () => {
  const plain = head();
  for (const text of [
    plain.replace('"id":7', '"id":"7"'),
    plain.replace('"id":7', '"id":1234567890123456'),
    plain.replace('"id":7', '"id":07'),
    plain.replace("GET /0", "GET\\u0020/0"),
    plain.replace('"path":"', '"path":"\\/'),
    plain.replace('"path":', '"path":"/x","path":'),
    plain.replace('"query":"a=1"', '"query":1'),
    plain.replace('"host"', '"h\\u006fst"'),
    plain.replace('"h:1"', "[[]]"),
    plain.replace('"h:1"', '"\\x"'),
    plain.replace('"h:1"', '"a\nb"'),
    plain.replace("15000", "1.5"),
    `${plain} `,
    plain.slice(0, -1),
    '{"jsonrpc":"2.0","id":7,"method":"ping","params":{}}',
  ]) {
    assert.equal(readUsualCall(text), undefined, text);
  }
});

test("whatever is changed in a call, what is taken is the same as JSON has it", () => {
  const seed = randomInt(2 ** 31);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const texts = Object.values(CALLS);
  const pieces = [
    '"',
    "\\",
    '\\"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-",
    " ",
    "u",
    "\n",
    "null",
    "\u00e9",
    '"a":"b"',
  ];

  for (let round = 0; round < 20_000; round++) {
    let text = texts[random(texts.length)] as string;
    for (let changes = 1 + random(2); changes > 0; changes--) {
      const at = random(text.length);
      text = text.slice(0, at) + (random(3) ? pieces[random(pieces.length)] : "") + text.slice(at + random(3));
    }
    const call = readUsualCall(text);
    if (call) assert.deepEqual(told(call), told(JSON.parse(text)), `seed ${seed}: ${text}`);
  }
});

test("what brokers write by the shared vectors is read this way", () => {
  const { cases } = JSON.parse(readFileSync(new URL("../../../../spec/vectors/calls.json", import.meta.url), "utf8"));
  assert.ok(cases.length > 0);
  for (const { name, head } of cases) {
    const read = readUsualCall(head);
    assert.ok(read, name);
    assert.deepEqual(told(read), told(JSON.parse(head)), name);
  }
});

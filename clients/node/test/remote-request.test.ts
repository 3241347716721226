import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { HeraError } from "../src/errors.js";
import { type CallOptions, paramsOf, readRequest } from "../src/remote-request.js";
import type { Json } from "./fake-broker.js";

function params(endpoint: string, options: CallOptions = {}): Json {
  return JSON.parse(paramsOf(readRequest(endpoint, options, undefined), undefined));
}

function target(endpoint: string, query?: CallOptions["query"]): string {
  return params(endpoint, { query }).target;
}

function headers(options: CallOptions): Record<string, string> {
  return Object.fromEntries(params("POST /0/a", options).headers);
}

function codeOf(endpoint: string, options: CallOptions = {}): string | undefined {
  try {
    readRequest(endpoint, options, undefined);
    return undefined;
  } catch (error) {
    return (error as HeraError).code;
  }
}

test("endpoint is a method and a path; the path goes as ascii", () => {
  const { method, request_id } = params("get /0/a");
  assert.equal(method, "GET");
  assert.match(request_id, /^[A-Za-z0-9._-]{1,128}$/);
  assert.equal(target("GET /0/Zo\u00eb and Ann"), "/0/Zo%C3%AB%20and%20Ann");
  assert.equal(target("GET /0/a%20b?x=1"), "/0/a%20b?x=1");
  for (const bad of ["/0/a", "GET", "GET 0/a", "GET  /0/a", "G T /0/a", "GET /0/a\r\nx: y"]) {
    assert.equal(codeOf(bad), "bad_option", bad);
  }
  assert.equal(codeOf(`GET /${"a".repeat(8_192)}`), "uri_too_long");
});

test("query is made of values, or is text", () => {
  const at = new Date(0);
  assert.equal(
    target("GET /a", { n: 1, list: ["x", "y z"], on: true, at, none: undefined, nil: null }),
    "/a?n=1&list=x&list=y+z&on=true&at=1970-01-01T00%3A00%3A00.000Z",
  );
  assert.equal(target("GET /a?b=1", { c: "&" }), "/a?b=1&c=%26");
  assert.equal(target("GET /a", "?b=1"), "/a?b=1");
  assert.equal(target("GET /a", new URLSearchParams({ b: "\u00e9" })), "/a?b=%C3%A9");
  assert.equal(target("GET /a", {}), "/a");
  assert.equal(codeOf("GET /a", { query: { nested: { a: 1 } } as Json }), "bad_option");
});

test("headers that are not the caller's to set are left out, so that those of a request can be given as they are", () => {
  const given = {
    host: "a",
    connection: "close",
    "content-length": "7",
    expect: "100-continue",
    "x-request-id": "r",
    "hera-timeout": "1s",
    "proxy-authorization": "x",
    "transfer-encoding": "chunked",
    authorization: "Bearer hera_abc",
    "X-Name": "J\u00fcrgen",
    accept: ["a/b", "c/d"],
    gone: undefined,
    age: 7,
  };
  assert.deepEqual(params("GET /a", { headers: given }).headers, [
    ["x-name", "J\u00fcrgen"],
    ["accept", "a/b"],
    ["accept", "c/d"],
    ["age", "7"],
  ]);
  assert.deepEqual(params("GET /a", { headers: new Headers({ "X-A": "1" }) }).headers, [["x-a", "1"]]);
  assert.deepEqual(params("GET /a", { headers: { authorization: "Bearer own" } }).headers, [
    ["authorization", "Bearer own"],
  ]);
});

test("headers over the protocol's limits are refused before they are sent", () => {
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`x-${n}`, "1"]));
  assert.equal(codeOf("GET /a", { headers: many }), "bad_request");
  assert.equal(codeOf("GET /a", { headers: { "x-a": "\u00fc".repeat(8_192) } }), "bad_request");
});

test("content type and encoding are true of the body that goes, whatever those of the request said", () => {
  const copied = { "content-type": "text/html", "content-encoding": "gzip" };
  const json = "application/json";
  const form = "application/x-www-form-urlencoded";
  assert.deepEqual(headers({ body: { a: 1 } }), { "content-type": json });
  assert.deepEqual(headers({ body: { a: 1 }, headers: copied }), { "content-type": json });
  assert.deepEqual(headers({ body: [1], headers: { "content-type": "application/merge-patch+json" } }), {
    "content-type": "application/merge-patch+json",
  });
  assert.deepEqual(headers({ body: new URLSearchParams("a=1"), headers: copied }), { "content-type": form });
  assert.deepEqual(headers({ body: "a" }), { "content-type": "text/plain; charset=utf-8" });
  assert.deepEqual(headers({ body: "a", headers: copied }), { "content-type": "text/html" });
  assert.deepEqual(headers({ body: Buffer.from("a"), headers: copied }), copied);
  assert.deepEqual(headers({ body: Readable.from(["a"]), headers: copied }), copied);
  assert.deepEqual(headers({ body: Buffer.from("a") }), {});
  assert.deepEqual(headers({ headers: copied }), {});
});

test("body is made into bytes, or refused where it has none", () => {
  const whole = (body: unknown): string => {
    const given = readRequest("POST /a", { body }, undefined).body;
    return Buffer.from(given.whole as string).toString();
  };
  assert.equal(whole({ a: [1, null] }), '{"a":[1,null]}');
  assert.equal(whole(0), "0");
  assert.equal(whole("\u00e9"), "\u00e9");
  assert.equal(whole(new Uint16Array([0x4241]).subarray(0, 1)), "AB");
  assert.equal(whole(new URLSearchParams({ a: "b c" })), "a=b+c");
  for (const body of [new Blob(["a"]), new FormData(), () => 1, Symbol("a")]) {
    assert.equal(codeOf("POST /a", { body }), "bad_option");
  }
});

test("timeout is milliseconds, or text with its unit", () => {
  const timeout = (given: number | string): number | undefined =>
    readRequest("GET /a", { timeout: given }, undefined).timeout;
  assert.deepEqual([timeout(20), timeout("2s"), timeout("1500ms"), timeout("0.5s")], [20, 2_000, 1_500, 500]);
  for (const bad of [0, -1, 300_001, Number.NaN, "2", "2m", "301s", ""]) {
    assert.equal(codeOf("GET /a", { timeout: bad }), "bad_option", String(bad));
  }
});

test("options that nobody knows, and limits that are none, are refused", () => {
  assert.equal(codeOf("GET /a", { retries: 3 } as Json), "bad_option");
  assert.equal(codeOf("GET /a", { bodyLimit: -1 }), "bad_option");
  assert.ok(new HeraError("bad_option", "").executed === undefined);
});

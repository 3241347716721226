// Writes seeds into fuzz/seeds/<target>: the cases of spec/vectors and inputs by hand. Usage: node fuzz/seeds.mjs
//
// The corpus in the tree is what `-merge=1` keeps of them and of long runs (README.md); this script makes them anew when vectors change.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../spec/vectors/${name}.json`, import.meta.url))).cases;
const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : Buffer.from(part))));
const counts = {};

function seed(target, content) {
  const folder = new URL(`seeds/${target}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  counts[target] = (counts[target] ?? 0) + 1;
  writeFileSync(new URL(`${counts[target]}`.padStart(3, "0"), folder), content);
}

for (const { bytes: hex, state } of vectors("frames")) {
  if (hex.length < 2000) seed("frame", bytes(state === "session" ? 7 : 4, Buffer.from(hex, "hex")));
}

for (const vector of [...vectors("messages"), ...vectors("declarations"), ...vectors("replies")]) {
  const head = vector.head ?? vector.text ?? vector.json;
  const message = { jsonrpc: "2.0", id: 7, ...(vector.params ? { method: "declare", params: vector.params } : { result: vector.result }) };
  const text = typeof head === "string" ? head : JSON.stringify(message);
  if (text.length < 1500) seed("message", text);
}
seed("message", '{"jsonrpc":"2.0","id":1,"method":"GET /a/{b}","params":{"method":"GET","target":"/a/x","path":"/a/x","request_id":"r","timeout_ms":5,"headers":[["a","b"]],"caller":{"token":null,"labels":{"x":"y"},"ip":"::1"},"trace":{"traceparent":"00"},"path_params":{"b":"x"},"more":true}}');
seed("message", '{"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"m","data":{"code":"declaration_refused","endpoints":[{"endpoint":"GET /","code":"bad_endpoint","message":"m"}]}}}');
for (const method of ["chunk", "end"]) seed("message", `{"jsonrpc":"2.0","method":"${method}","params":{"id":5,"body":"reply"}}`);
seed("message", '{"jsonrpc":"2.0","method":"credit","params":{"id":5,"body":"call","bytes":65536}}');
seed("message", '{"jsonrpc":"2.0","method":"reset","params":{"id":5,"body":"call","code":"\\u0063ancelled"}}');
seed("message", '{"jsonrpc":"2.0","id":9,"result":{"cpu":0.5,"delay_ms":3,"rss_bytes":1,"rss_limit_bytes":2,"in_flight":4}}');

const hello = { versions: [1, 2], features: ["x"], limits: { in_flight_max: 8 }, nonce: "ab".repeat(32), key: "0123456789abcdef", instance: "h-1", version: "1.0+2", library: "l 1" };
const heads = [hello, { ...hello, versions: [2] }, { ...hello, limits: { head_bytes_max: 1 } }, { ...hello, nonce: "x" }, { ...hello, extra: [[[]]] }];
for (const params of heads) seed("handshake", bytes(0, JSON.stringify({ jsonrpc: "2.0", id: 1, method: "hello", params })));
const answer = { version: 1, features: [], limits: {}, nonce: "00".repeat(32), broker: "b-1", library: "hera 0" };
for (const result of [answer, { ...answer, version: 2 }, {}]) seed("handshake", bytes(1, Buffer.alloc(64, 1), JSON.stringify({ jsonrpc: "2.0", id: 1, result })));
seed("handshake", bytes(1, Buffer.alloc(64), '{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no","data":{"code":"unauthenticated"}}}'));
for (const id of [1, 2]) seed("handshake", bytes(2, Buffer.alloc(64, 2), JSON.stringify({ jsonrpc: "2.0", id, method: "prove", params: {} })));
seed("handshake", bytes(2, Buffer.alloc(64, 2), '{"jsonrpc":"2.0","id":2,"method":"ping"}'));
for (const pair of [[], [0, 1], [63, 128], [200, 32], [7, 1, 7, 1]]) seed("handshake", bytes(3, Buffer.from(pair)));
for (const vector of vectors("keys")) if (typeof vector.key === "string") seed("handshake", bytes(4, vector.key));

for (const { path, path_hex } of vectors("paths")) seed("canonical_path", path_hex ? Buffer.from(path_hex, "hex") : path);
for (const climb of ["..", "%2e%2e", "%252e%252e", "..;x=y", "..%20", "..%3f", "%ef%bc%8e%ef%bc%8e", "%c0%ae.", "..\\", "..%5c", "%u002e.", "...", "..;", "..%00"]) {
  seed("canonical_path", `/0/public/${climb}/secret`);
  seed("canonical_path", `/%30/p%75blic/x/${climb}/${climb}/0/secret/`);
}

const request = (line, ...headers) => [line, ...headers, "", ""].join("\r\n");
for (const headers of [[], ["Content-Length: 5"], ["Content-Length: 0"], ["Transfer-Encoding: chunked"], ["Transfer-Encoding: Chunked", "Content-Length: 5"], ["Content-Length: 5", "Content-Length: 5"],
  ["Transfer-Encoding: gzip, chunked"], ["Expect: 100-continue", "Content-Length: 9"], ["Connection: close, X-A", "X-A: 1"], ["Connection: keep-alive"], ["X : y"], ["X: a", " folded"], ["X: \xe9\t"], ["Host: h"]]) {
  seed("request_head", Buffer.from(request("POST /a?b=c HTTP/1.1", "Host: h:80", ...headers) + "hello", "latin1"));
}
for (const line of ["GET http://h:80/a HTTP/1.1", "GET http://x/a HTTP/1.1", "GET /a HTTP/1.0", "GET /a HTTP/2.0", "GET * HTTP/1.1", "PRI * HTTP/2.0", "GET  /a HTTP/1.1", "\r\nGET /a HTTP/1.1", "GET /a#b HTTP/1.1", "GET /a"]) {
  seed("request_head", request(line, "Host: h:80"));
}
for (const host of ["", "[::1]:80", "a@b", "a,b", "h:99999", "[::1", "a b"]) seed("request_head", request("GET / HTTP/1.1", `Host: ${host}`));
seed("request_head", "GET / HTTP/1.1\nHost: h\n\n");
seed("request_head", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n");
seed("request_head", "GET /\x01\x01\x01\x01\x01\x01\x01\x01 HTTP/1.1\r\nHost: h\r\n\r\n");
seed("request_head", "GET /\x01\x01\x01\x01\x01\x01\x01\x01\x01 HTTP/1.1\r\nHost: h\r\n\r\n");
seed("request_head", "\x01 /\x01\x01\x01\x01\x01\x01\x01\x01 HTTP/1.1\r\nHost: h\r\n\r\n");
seed("request_head", "GET / HTTP/1.1\r\nHost: h\r\n\x02\x02\r\n");
seed("request_head", "GET / HTTP/1.1\r\nHost: h\r\n\x02\x02\x02\r\n");
seed("request_head", `GET / HTTP/1.1\r\nHost: h\r\nX: ${"\x01".repeat(16)}\r\n\r\n`);
seed("request_head", `GET / HTTP/1.1\r\nHost: h\r\nX: ${"\x01".repeat(17)}\r\n\r\n`);

for (const body of ["5\r\nhello\r\n0\r\n\r\nNEXT", "3\r\nabc\r\n1\r\nz\r\n0\r\nX: y\r\n\r\n", "0\r\n\r\n", "0_5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
  "5\r\nhelloX\r\n0\r\n\r\n", "0\r\nno header\r\n\r\n", "FFFFFFFF\r\n", "1388\r\n", "00000005\r\nhello\r\n0\r\n\r\n", "000000005\r\nhello\r\n0\r\n\r\n", `400\r\n${"x".repeat(1024)}\r\n3ff\r\n${"y".repeat(1023)}\r\n0\r\n\r\n`]) {
  seed("body", bytes(0, 2, body));
}
for (const [size, body] of [[0, "rest"], [1, "x".repeat(31)], [3, "x".repeat(40)], [255, ""]]) seed("body", bytes(1, size, body));

const field = (text) => bytes(text, 0xff);
const reply = (flags, status, ...fields) => seed("answer_builder", bytes(flags, status >> 8, status & 255, ...fields.map(field)));
for (const flags of [0, 1, 2, 3, 4, 6, 8, 12]) reply(flags, 200, '{"a":1}', "content-type", "application/json", "x-a", "1", "set-cookie", "a=1", "set-cookie", "b=2");
for (const status of [199, 204, 299, 304, 404, 425, 599, 600]) reply(4, status, "body", "x", "y");
for (const flags of [0x10, 0x30, 0x31, 0x32, 0x34, 0x36, 0x14]) {
  reply(flags, 200, "chunk one", "two", "begin", "content-type", "text/plain");
  reply(flags, 200, "chunk one", "two", "begin", "content-length", "17");
}
for (const name of ["Connection", "Transfer-Encoding", "content-length", "Hera-Worker", "X-Request-Id", "Proxy-Status", "Server-Timing", "Date", "te", "Upgrade", "keep-alive", "x y", "", "x:"]) reply(4, 200, "b", name, "1");
for (const value of ["a\r\nset-cookie: y", "a\nb", "a\0b", "caf\u00e9", "\u0100", " a ", "\t", "", "5"]) reply(12, 200, "{}", "x", value, "content-type", "application/a+json", "etag", "e");
for (const vector of vectors("replies")) if (vector.result !== undefined && JSON.stringify(vector.result).length < 1500) seed("answer_builder", bytes(0x84, 0, 0, JSON.stringify(vector.result)));

console.log(counts);

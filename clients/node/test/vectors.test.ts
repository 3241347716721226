import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { addressOf, readBrokerNode } from "../src/broker-node.js";
import { callName } from "../src/chain.js";
import { HeraError, localCodes, wireCodes } from "../src/errors.js";
import { encodeFrame, FrameReader, handshakeLimits, sessionLimits } from "../src/frame.js";
import { judgeAnswer, prove, publicOf, verifies } from "../src/handshake.js";
import { hera } from "../src/index.js";
import { parseKey } from "../src/key.js";
import { limits } from "../src/limits.js";
import { lookup } from "../src/lookup.js";
import { readMessage } from "../src/message.js";
import { canonical, canonicalBytes } from "../src/path.js";
import { endpointPatterns, shape } from "../src/pattern.js";
import type { Json } from "./fake-broker.js";

const spec = new URL("../../../../spec/", import.meta.url);

function cases(file: string): Json[] {
  return JSON.parse(readFileSync(new URL(`vectors/${file}.json`, spec), "utf8")).cases;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("frames", () => {
  for (const { name, bytes, state, frames, error, decode_only } of cases("frames")) {
    const input = Buffer.from(bytes, "hex");
    const frameLimits = state === "handshake" ? handshakeLimits : sessionLimits;
    const wanted = (frames ?? []).map(({ head, attachment }: Json) => [head, attachment]);

    for (const step of [input.length || 1, 1, 7]) {
      test(`${name}, ${step} bytes at a time`, () => {
        const reader = new FrameReader(frameLimits);
        const got: string[][] = [];
        let fault: string | undefined;

        for (let at = 0; at < input.length && !fault; at += step) {
          const part = Buffer.from(input.subarray(at, at + step));
          fault = reader.push(part, (head, attachment) => got.push([head.toString(), hex(attachment)]) > 0);
        }

        assert.equal(fault, error);
        if (frames) assert.deepEqual(got, wanted);
      });
    }
    if (frames && !decode_only) {
      test(`${name}, encoded`, () => {
        const encoded = frames.map((frame: Json) => encodeFrame(frame.head, Buffer.from(frame.attachment, "hex")));
        assert.equal(hex(Buffer.concat(encoded)), bytes);
      });
    }
  }
});

describe("messages", () => {
  for (const { name, head, head_hex, kind, id, method, params, result, error } of cases("messages")) {
    test(name, () => {
      const message: Json = readMessage(head_hex ? Buffer.from(head_hex, "hex") : Buffer.from(head));

      if (kind === undefined) {
        assert.equal(message.kind, "bad");
        assert.equal(message.code, error);
        if (id !== undefined) assert.equal(message.id ?? null, id);
        return;
      }
      assert.equal(message.kind, kind);
      if (kind === "request") assert.equal(message.id, id);
      // An id that we never send (`"1"`, `1.0`) is one that matches nothing.
      if (kind === "response") assert.equal(message.id, typeof id === "number" || id === null ? id : undefined);
      if (method !== undefined) assert.equal(message.method, method);
      if (params !== undefined) assert.deepEqual(message.params, params);
      if (result !== undefined) assert.deepEqual(message.result, result);
      if (error !== undefined) assert.deepEqual(message.error, error);
    });
  }
});

describe("json", () => {
  const bytes = (text?: string, inHex?: string) =>
    Buffer.from(text ?? inHex ?? "", text === undefined ? "hex" : "utf8");
  // Calls have a way of their own through the reader.
  for (const method of ["ping", "GET /x"]) {
    for (const { name, value, value_hex, head, head_hex } of cases("json")) {
      const isHead = (value ?? value_hex) === undefined;
      if (isHead && method !== "ping") continue;
      test(`${name}, ${method}`, () => {
        const before = Buffer.from(`{"jsonrpc":"2.0","id":5,"method":"${method}","params":{"v":`);
        const whole = isHead
          ? bytes(head, head_hex)
          : Buffer.concat([before, bytes(value, value_hex), Buffer.from("}}")]);

        const message: Json = readMessage(whole);

        if (name.startsWith("y_")) assert.deepEqual([message.kind, message.id, message.method], ["request", 5, method]);
        else if (name.startsWith("n_")) assert.equal(message.code, "parse_error");
        else assert.ok(["request", "bad"].includes(message.kind));
        assert.equal((Object.prototype as Json).polluted, undefined);
      });
    }
  }
});

describe("keys", () => {
  for (const { name, key, id, seed, cluster, error } of cases("keys")) {
    test(name, () => {
      if (error !== undefined) {
        assert.throws(
          () => parseKey(key),
          (thrown) => thrown instanceof HeraError && thrown.code === "bad_key",
        );
        return;
      }
      const parsed = parseKey(key);
      assert.deepEqual([parsed.id, hex(parsed.seed), hex(parsed.cluster)], [id, seed, cluster]);
    });
  }
});

describe("paths", () => {
  for (const { name, path, path_hex, canonical: wanted, error } of cases("paths")) {
    test(name, () => {
      const form = path_hex !== undefined ? canonicalBytes(Buffer.from(path_hex, "hex")) : canonical(path);

      if (error !== undefined) assert.ok("error" in form, `accepted as ${JSON.stringify(form)}`);
      else assert.deepEqual(form, { path: wanted });
      if ("path" in form) assert.deepEqual(canonical(form.path), form);
    });
  }
});

/** How an Express app writes an endpoint's pattern. */
function expressPath(pattern: string): string {
  return pattern
    .split("/")
    .map((segment) => {
      const name = /^\{(\*?)(.+)\}$/.exec(segment);
      if (name) return `${name[1] || ":"}${name[2]}`;
      return segment.replace(/[:*{}()[\]+?!\\]/g, "\\$&");
    })
    .join("/");
}

function split(endpoint: string): { method: string; pattern: string } {
  const end = endpoint.indexOf(" ");
  return { method: endpoint.slice(0, end), pattern: endpoint.slice(end + 1) };
}

// This side writes patterns and never reads them.
describe("patterns", () => {
  for (const { name, endpoint, shape: wanted, names, error } of cases("patterns")) {
    // Room is kept for the longest method, since a pattern is declared for OPTIONS too.
    if (error !== undefined || endpoint.length > limits.endpoint_bytes_max - 12) continue;
    test(name, () => {
      const { method, pattern } = split(endpoint);

      const declared = endpointPatterns(expressPath(pattern));

      assert.deepEqual(
        declared.map((each) => `${method} ${shape(each)}`),
        [wanted],
      );
      const found = [...(declared[0] as string).matchAll(/\{\*?(.+?)\}/g)].map(([, each]) => each);
      assert.deepEqual(found, names);
    });
  }
});

// The broker's table chooses; a client's layers have only to take every call that a broker sends, and no other path.
describe("routes", () => {
  for (const { name, endpoints, requests } of cases("routes")) {
    test(name, async () => {
      const app = hera({ log: false });
      const declared = new Map<string, string>();
      for (const endpoint of endpoints as string[]) {
        const { method, pattern } = split(endpoint);
        const path = expressPath(pattern);
        const add = method === "*" ? "all" : method.toLowerCase();
        (app as Json)[add](path, (req: Json, res: Json, next: () => void) => {
          res.locals[endpoint] = { ...req.params };
          next();
        });
        declared.set(`${method} ${endpointPatterns(path)[0]}`, endpoint);
      }
      app.use((_req, res) => void res.json(res.locals));

      for (const { method, path, route, params, allow } of requests) {
        // Each pattern is declared for OPTIONS too, which the table of a broker is asked about like any other method.
        if (method === "OPTIONS") continue;
        const form = canonical(path);
        if ("error" in form) continue;
        const found = lookup([...declared.keys()], method, form.path);
        if (!route) {
          assert.deepEqual(found, { allow }, `${method} ${path}`);
          continue;
        }
        assert.equal("endpoint" in found && declared.get(found.endpoint), route, `${method} ${path}`);
        const reply = await app.inject({ method, url: path });
        if (method === "HEAD") continue;
        const own = (reply.json() as Json)[route];
        assert.ok(own, `${method} ${path} is not taken by ${route}`);
        for (const [key, value] of Object.entries(own)) if (Array.isArray(value)) own[key] = value.join("/");
        assert.deepEqual(own, params ?? {}, `${method} ${path}`);
      }
    });
  }
});

describe("chains", () => {
  for (const { name, method, path, query, call } of cases("chains")) {
    test(name, () => assert.equal(callName(method, path, query), call));
  }
});

describe("brokers' nodes", () => {
  for (const { name, node, data, data_hex, padded_bytes, address, skipped } of cases("broker_nodes")) {
    test(name, () => {
      const bytes = data_hex ? Buffer.from(data_hex, "hex") : Buffer.from((data as string).padEnd(padded_bytes ?? 0));
      const read = readBrokerNode(node, bytes);
      assert.deepEqual(typeof read === "string" ? read : addressOf(read), skipped ?? address);
    });
  }
});

describe("handshake", () => {
  for (const vector of cases("handshake")) {
    test(vector.name, () => handshakeCase(vector));
  }
});

function handshakeCase(vector: Json): void {
  const { worker_key, hello, answer, certificate_sha256, broker_proof, worker_proof, by, error } = vector;
  const certificate = certificate_sha256 ? Buffer.from(certificate_sha256, "hex") : null;
  const key = parseKey(worker_key);
  // A broker's judgement of a hello is not ours; what we send fits by construction.
  if (answer === undefined) return assert.equal(by, "broker");

  const judged = judgeAnswer(
    key,
    Buffer.from(hello),
    Buffer.from(answer),
    Buffer.from(broker_proof, "hex"),
    certificate,
  );

  if (by === "worker") return assert.equal((judged as HeraError).code, error);
  assert.ok(!(judged instanceof HeraError), String(judged));
  assert.equal(hex(judged.said), vector.transcript);
  const proof = Buffer.from(worker_proof, "hex");
  if (error === undefined) assert.equal(hex(prove(key.seed, "worker", judged.said)), worker_proof);
  assert.equal(verifies(publicOf(key.seed), "worker", judged.said, proof), error === undefined);
}

test("codes are those of the specification", () => {
  const rows = readFileSync(new URL("errors.md", spec), "utf8").matchAll(/^\| ([a-z_]+) \| (-\d+) \|/gm);
  assert.deepEqual(
    Object.fromEntries(Object.entries(wireCodes).sort()),
    Object.fromEntries([...rows].map(([, name, number]) => [name, Number(number)]).sort()),
  );
});

test("local codes are those of the README", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const rows = readme.slice(readme.indexOf("## Errors")).matchAll(/^\| ([a-z_]+) +\| (.+?) +\|$/gm);
  const table = [...rows].map(([, name, meaning]) => [name, meaning]).filter(([name]) => name !== "code");
  assert.deepEqual(Object.fromEntries(table), { ...localCodes });
});

test("limits are those of the specification", () => {
  const text = readFileSync(new URL("limits.md", spec), "utf8");
  for (const [name, value] of Object.entries(limits)) {
    assert.match(text, new RegExp(`^\\| ${name} \\| ${value} \\|`, "m"));
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Response } from "../src/index.js";
import { connected } from "./fixture.js";

/** What one answer looks like on the wire. */
async function sent(t: Parameters<typeof connected>[0], answer: (res: Response) => unknown, params = {}) {
  const { worker, lines } = await connected(t, (app) => app.get("/0/a", (_req, res) => void answer(res)));
  const { message, attachment } = await worker.ask("GET /0/a", params);
  const { status, headers } = message.result ?? {};
  return { status, headers, body: attachment.toString(), error: message.error?.data.code, worker, lines };
}

test("content type is what Express gives", async (t) => {
  const cases: [(res: Response) => unknown, string | undefined, string][] = [
    [(res) => res.json({ a: "ä" }), "application/json; charset=utf-8", '{"a":"ä"}'],
    [(res) => res.json(null), "application/json; charset=utf-8", "null"],
    [(res) => res.send("<b>"), "text/html; charset=utf-8", "<b>"],
    [(res) => res.send(Buffer.from("x")), "application/octet-stream", "x"],
    [(res) => res.send({ a: 1 }), "application/json; charset=utf-8", '{"a":1}'],
    [(res) => res.send(), undefined, ""],
    [(res) => res.type("text").send("x"), "text/plain; charset=utf-8", "x"],
    [(res) => res.type("png").send(Buffer.from("x")), "image/png", "x"],
    [(res) => res.set("Content-Type", "text/csv").send("x"), "text/csv; charset=utf-8", "x"],
    [(res) => res.end("x"), undefined, "x"],
  ];
  for (const [answer, type, body] of cases) {
    const got = await sent(t, answer);
    const types = got.headers.filter(([name]: string[]) => name === "content-type");
    assert.deepEqual([types, got.body], [type === undefined ? [] : [["content-type", type]], body]);
  }
});

test("headers: set, list, append, object, get, remove", async (t) => {
  const { headers } = await sent(t, (res) => {
    res
      .set("X-A", "1")
      .set({ "X-B": 2, "X-C": ["3", "4"] })
      .append("x-a", "5")
      .set("x-gone", "x")
      .removeHeader("X-Gone");
    res
      .set("x-got", `${res.get("X-A")}`)
      .status(204)
      .end();
  });
  assert.deepEqual(headers, [
    ["x-a", "1"],
    ["x-a", "5"],
    ["x-b", "2"],
    ["x-c", "3"],
    ["x-c", "4"],
    ["x-got", "1,5"],
  ]);
});

test("header that could split an answer throws in the handler", async (t) => {
  for (const value of ["a\rb", "a\nb", "a\0b", "a\x7fb", "€"]) {
    const { error } = await sent(t, (res) => {
      assert.throws(() => res.set("x-a", value), TypeError);
      assert.throws(() => res.append("x-a", value), TypeError);
      res.set("x-a", value);
    });
    assert.equal(error, "handler_failed");
  }
  await sent(t, (res) => {
    assert.throws(() => res.set("a b", "x"), TypeError);
    assert.throws(() => res.set("", "x"), TypeError);
    assert.throws(() => res.status(99), RangeError);
    assert.throws(() => res.status(600), RangeError);
    assert.throws(() => res.status("200" as never), RangeError);
    res.set("x-a", "tab\tand ü are fine").end();
  });
});

test("headers over the protocol's limits fail in the handler", async (t) => {
  const many = await sent(t, (res) => {
    for (let i = 0; i < 101; i++) res.append("x-a", i.toString());
    res.json(1);
  });
  assert.equal(many.error, "handler_failed");
});

test("what JSON cannot hold fails in the handler, and the process lives", async (t) => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (const value of [cycle, { n: 1n }]) {
    assert.equal((await sent(t, (res) => res.json(value))).error, "handler_failed");
  }
});

test("second answer is dropped and told once", async (t) => {
  const { status, body, worker, lines } = await sent(t, (res) => {
    res.json("first");
    res.status(500).json("second");
    res.send("third");
    res.end();
    void res.write("fourth");
  });
  worker.send({ id: 900, method: "ping", params: {} });
  await worker.response(900);

  assert.deepEqual([status, body], [200, '"first"']);
  assert.equal(worker.received.filter(({ message }) => message.id === 1).length, 1);
  assert.deepEqual(
    lines.map(([, error]) => (error as { code: string }).code),
    ["answered_twice"],
  );
});

test("headersSent tells when it is too late", async (t) => {
  const seen: boolean[] = [];
  await sent(t, (res) => {
    seen.push(res.headersSent);
    res.json(1);
    seen.push(res.headersSent);
  });
  assert.deepEqual(seen, [false, true]);
});

test("answers without a body carry none", async (t) => {
  const large = Buffer.alloc(300_000);
  const none = await sent(t, (res) => res.status(204).send("x"));
  assert.deepEqual([none.status, none.body], [204, ""]);
  const head = await sent(t, (res) => res.send(large), { method: "HEAD" });
  assert.deepEqual([head.status, head.body], [200, ""]);
  const streamed = await sent(
    t,
    async (res) => {
      res.write("a");
      res.write("b");
      res.end();
    },
    { method: "HEAD" },
  );
  assert.deepEqual([streamed.status, streamed.body], [200, ""]);
  assert.equal(streamed.worker.notifications("end", 1).length, 0);
});

test("handlers see their answer in one frame up to 256 KiB", async (t) => {
  const { worker } = await connected(t, (app) => {
    app.get("/0/fits", (_req, res) => res.send(Buffer.alloc(262_144)));
    app.get("/0/over", (_req, res) => res.send("ä".repeat(131_073)));
  });
  assert.equal((await worker.ask("GET /0/fits")).message.result.more, undefined);
  const over = await worker.ask("GET /0/over");
  assert.equal(over.message.result.more, true);
  assert.equal(over.attachment.length, 262_144);
});

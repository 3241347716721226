import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import bodyParser from "body-parser";
import { both } from "./both.mjs";

const shown = (req, res) => {
  const { body } = req;
  res.json({ bytes: Buffer.isBuffer(body), body: Buffer.isBuffer(body) ? body.toString() : (body ?? "none") });
};
const post = (type, body, more = {}) => ({
  method: "POST",
  path: "/shown",
  headers: { "content-type": type, ...more },
  body,
});

test("body-parser: it reads the body once more, and finds what Express finds", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(bodyParser.json({ type: ["json", "+json"], strict: false }), bodyParser.urlencoded({ extended: true }));
    app.use(bodyParser.text(), bodyParser.raw());
    app.post("/shown", shown);
  });
  await same(post("application/json", '{"a":[1,{"b":"ä"}]}'));
  await same(post("application/merge-patch+json", '{"a":null}'));
  await same(post("application/json", "7"));
  await same(post("application/x-www-form-urlencoded", "a[b]=1&c=2&c=3&d=%C3%A4"));
  await same(post("text/plain; charset=utf-8", "hällo"));
  await same(post("application/octet-stream", Buffer.from("bytes")));
  await same(post("application/json", gzipSync('{"zipped":true}'), { "content-encoding": "gzip" }));
});

test("body-parser: verify sees the bytes, and may keep them as req.rawBody", async (t) => {
  const { same } = await both(t, (app) => {
    const verify = (req, _res, bytes) => {
      req.rawBody = bytes;
    };
    app.post("/shown", bodyParser.json({ verify }), (req, res) =>
      res.json({ hmac: createHmac("sha256", "key").update(req.rawBody).digest("hex"), body: req.body }),
    );
  });
  const { hmac } = (await same(post("application/json", '{ "a" :1}'))).json();
  assert.equal(hmac, createHmac("sha256", "key").update('{ "a" :1}').digest("hex"));
});

test("body-parser: its limit is 413 for the error handlers, where Hera has let the body in", async (t) => {
  const { same } = await both(t, (app) => {
    app.use(bodyParser.json({ limit: "1kb" }));
    app.post("/shown", shown);
    app.use((error, _req, res, _next) => res.status(error.status).json({ type: error.type, limit: error.limit }));
  });
  const { status, json } = await same(post("application/json", JSON.stringify("x".repeat(2000))));
  assert.deepEqual([status, json().type], [413, "entity.too.large"]);
});

/** Runs cases on both targets, and compares what they answer.
 *
 *  A case is
 *    name       what it shows
 *    app        (app, lib) => void: builds the app; lib is what made it, `express` or `hera`
 *    requests   "GET /path", or { method, path, headers, body }
 *    ignoreHeaders  headers that are left out of the comparison
 *    differs    where the two are known to differ: { id: row of the README's table, why, hera: [parts of Hera's answers],
 *               refused: code of the error for which Hera refuses the app }
 */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { Brokers } from "./brokers.mjs";
import { onExpress, onHera } from "./targets.mjs";

const ANSWER_MS_MAX = 10_000;

/** What belongs to a connection, or is the broker's own. */
const LEFT_OUT = new Set([
  "date",
  // The connection's, not the answer's: each side of the broker has its own.
  "connection",
  "keep-alive",
  "transfer-encoding",
  // The broker's metadata.
  "x-request-id",
  "hera-broker",
  "hera-worker",
  "hera-executed",
  "proxy-status",
  "server-timing",
  // Deviation `powered-by`.
  "x-powered-by",
]);

export function runs(title, cases) {
  describe(title, () => {
    let brokers;
    before(async () => {
      brokers = await Brokers.open();
    });
    after(() => brokers.close());

    for (const each of cases) test(each.name, () => run(each, brokers));
  });
}

async function run({ app, requests, ignoreHeaders = [], differs }, brokers) {
  const express = await onExpress(app);
  let hera;
  try {
    if (differs?.refused) {
      await assert.rejects(onHera(app, brokers), { code: differs.refused });
      return;
    }
    hera = await onHera(app, brokers);
    const pairs = [];
    for (const each of requests) {
      const wanted = typeof each === "string" ? parse(each) : { method: "GET", ...each };
      pairs.push({ request: wanted, express: await ask(express.url, wanted), hera: await ask(hera.url, wanted) });
    }
    if (differs) judge(pairs, differs, ignoreHeaders);
    else for (const pair of pairs) agree(pair, ignoreHeaders);
  } finally {
    express.close();
    await hera?.close();
  }
}

function agree({ request, express, hera }, ignore) {
  const told = `${request.method} ${request.path}\n${show("express", express)}\n${show("hera", hera)}\n`;
  assert.deepEqual(comparable(hera, express, ignore), comparable(express, hera, ignore), told);
}

/** A deviation has to be one, and the one that is written down. */
function judge(pairs, { hera: wanted }, ignore) {
  const alike = pairs.every(({ express, hera }) => {
    try {
      assert.deepEqual(comparable(hera, express, ignore), comparable(express, hera, ignore));
      return true;
    } catch {
      return false;
    }
  });
  const told = pairs.map(({ express, hera }) => `${show("express", express)}\n${show("hera", hera)}`).join("\n");
  assert.ok(!alike, `the two agree: the deviation is none any more\n${told}`);
  assert.equal(wanted.length, pairs.length, "an expectation for each request");
  wanted.forEach(({ status, headers = {}, body, json }, i) => {
    const { hera } = pairs[i];
    if (status !== undefined) assert.equal(hera.status, status, told);
    if (body !== undefined) assert.equal(hera.body.toString(), body, told);
    if (json !== undefined) assert.deepEqual(pick(JSON.parse(hera.body.toString()), json), json, told);
    for (const [name, value] of Object.entries(headers)) {
      assert.equal(hera.headers[name]?.join(", "), value ?? undefined, `${name}\n${told}`);
    }
  });
}

function pick(value, like) {
  if (typeof like !== "object" || like === null || Array.isArray(like)) return value;
  return Object.fromEntries(Object.keys(like).map((key) => [key, value?.[key]]));
}

function parse(text) {
  const end = text.indexOf(" ");
  return { method: text.slice(0, end), path: text.slice(end + 1) };
}

function comparable({ status, headers, body }, other, ignore) {
  const kept = Object.entries(headers).filter(([name]) => {
    if (LEFT_OUT.has(name) || ignore.includes(name)) return false;
    // The broker frames an answer by what it knows of it: a length where the worker left it to chunks, and none for 204 and 304.
    return name !== "content-length" || other.headers[name] !== undefined;
  });
  return {
    status,
    headers: Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1))),
    body: body.toString("latin1"),
  };
}

function show(name, { status, headers, body }) {
  return `${name}: ${status} ${JSON.stringify(headers)} ${JSON.stringify(body.toString("utf8").slice(0, 500))}`;
}

/** One call on a connection of its own. A target that does not answer fails the case. */
function ask(url, { method, path, headers = {}, body }) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const fixed = { host: "example.test", ...headers };
    const sent = request({ hostname, port, method, path, headers: fixed, agent: false }, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () => {
        const all = Object.create(null);
        for (let i = 0; i < res.rawHeaders.length; i += 2) {
          const name = res.rawHeaders[i].toLowerCase();
          all[name] ??= [];
          all[name].push(res.rawHeaders[i + 1]);
        }
        resolve({ status: res.statusCode, headers: all, body: Buffer.concat(parts) });
      });
    });
    sent.setTimeout(ANSWER_MS_MAX, () => sent.destroy(new Error(`${method} ${path} at ${url} was not answered`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

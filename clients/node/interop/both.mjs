/** One app on real Express and on Hera through a real broker, and calls whose answers can be compared. */
import assert from "node:assert/strict";
import { once } from "node:events";
import express from "express";
import hera from "../dist/index.js";
import { call, startBroker } from "./broker.mjs";

export { call, hera };

/** Builds the same app twice and serves it on Express and on Hera; gives a function that calls both.
 *
 *  @param build is given an app and what made it: `express` or `hera`
 *  @param rights what a call without token may do at the broker */
export async function both(t, build, { rights = ["* /**"] } = {}) {
  const lines = [];
  const log = { warn: (text) => lines.push(text), error: (text) => lines.push(text) };
  const broker = await startBroker(t);
  const [secret] = await Promise.all([broker.key(), broker.anonymous(...rights)]);
  const onHera = hera({ brokers: broker.brokers, secret, signals: false, log });
  await build(onHera, hera);
  await onHera.connect();
  t.after(() => onHera.close());

  const onExpress = express();
  onExpress.set("env", "test");
  await build(onExpress, express);
  const server = onExpress.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });

  const targets = { express: `http://127.0.0.1:${server.address().port}`, hera: broker.http };
  const each = async (options) => ({
    express: await call(targets.express, options),
    hera: await call(targets.hera, options),
  });
  return {
    broker,
    targets,
    /** What the worker logged. */
    lines,
    /** Calls both, and gives what each answered. */
    each,
    /** Calls both, asserts that they answered the same, and gives Hera's answer. */
    async same(options, ignored) {
      const answers = await each(options);
      assertSame(answers, ignored);
      return answers.hera;
    },
  };
}

/** What belongs to the connection, or is a broker's own, and not to the app's answer. */
const OF_THE_WAY = [
  "connection",
  "date",
  "hera-broker",
  "hera-worker",
  "keep-alive",
  "server-timing",
  "transfer-encoding",
  "x-powered-by",
  "x-request-id",
];

/** Asserts one status, one body and the same headers, but for those that belong to the connection and those `ignored`. */
export function assertSame(answers, ignored = []) {
  assert.deepEqual(plain(answers.hera, ignored), plain(answers.express, ignored));
}

function plain({ status, headers, body }, ignored) {
  const left = [...OF_THE_WAY, ...ignored];
  // HTTP knows no length for 204, and the broker takes it away where Node sends what it was given.
  if (status === 204) left.push("content-length");
  const rest = Object.entries(headers).filter(([name]) => !left.includes(name));
  return {
    status,
    headers: Object.fromEntries(rest.sort()),
    body: ignored.includes("body") ? "" : body.toString("latin1"),
  };
}

import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hera } from "../src/index.js";
import { FakeBroker, secret } from "./fake-broker.js";
import { keeper } from "./fixture.js";

const folder = new URL("../../test/tls/", import.meta.url);
const cert = readFileSync(new URL("cert.pem", folder), "utf8");
/** Made for this test alone, for localhost, valid for a hundred years. */
const tls = { cert, key: readFileSync(new URL("key.pem", folder), "utf8"), leaf: new X509Certificate(cert).raw };

test("calls are served over TLS, bound to the broker's certificate", async (t) => {
  const broker = await FakeBroker.start({ tls });
  const app = hera({ brokers: `heras://127.0.0.1:${broker.port}`, ca: tls.cert, secret, signals: false, log: false });
  t.after(async () => {
    await broker.stop();
    await app.close();
  });
  app.get("/0/big", (_req, res) => res.send(Buffer.alloc(200_000)));

  await app.connect();

  const worker = await broker.worker();
  assert.equal((await worker.ask("GET /0/big")).attachment.length, 200_000);
});

test("certificate that was swapped on the way breaks the proof", async (t) => {
  const broker = await FakeBroker.start({ tls: { ...tls, leaf: randomBytes(300) } });
  await left(t, broker, tls.cert, /did not prove/);
});

test("certificate that nobody vouches for is not accepted", async (t) => {
  const broker = await FakeBroker.start({ tls });
  await left(t, broker, undefined, /self-signed|unable to verify/);
});

async function left(
  t: { after(end: () => unknown): void },
  broker: FakeBroker,
  ca: string | undefined,
  why: RegExp,
): Promise<void> {
  const { log, lines } = keeper();
  const app = hera({ brokers: `heras://127.0.0.1:${broker.port}`, ca, secret, signals: false, log });
  const outcome = assert.rejects(app.connect(), { code: "closed" });
  t.after(() => broker.stop());

  while (lines.length === 0) await new Promise((turn) => setImmediate(turn));

  assert.match(lines[0]?.[0] ?? "", why);
  assert.equal(broker.workers.length, 0);
  await app.close();
  await outcome;
}

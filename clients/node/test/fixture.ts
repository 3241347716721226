/** An app on a fake broker, and the end of both when the test is over. */
import type { TestContext } from "node:test";
import type { App } from "../src/app.js";
import { Clock } from "../src/clock.js";
import { hera, type Log, type Options } from "../src/index.js";
import { parseKey } from "../src/key.js";
import type { LinkHost } from "../src/link.js";
import { FakeBroker, type Manners, secret, type Worker } from "./fake-broker.js";

export interface Fixture {
  app: App;
  broker: FakeBroker;
  worker: Worker;
  lines: [message: string, error?: unknown][];
}

/** Keeps what is logged. */
export function keeper(): { log: Log; lines: Fixture["lines"] } {
  const lines: Fixture["lines"] = [];
  const keep = (message: string, error?: unknown): void => {
    lines.push([message, error]);
  };
  return { log: { warn: keep, error: keep }, lines };
}

export function makeApp(broker: { url: string }, options: Options = {}): App {
  return hera({ brokers: broker.url, secret, signals: false, log: false, drainTimeout: 2_000, ...options });
}

/** Starts a broker, lets `define` declare, connects. */
export async function connected(
  t: TestContext,
  define: (app: App) => void,
  options: Options = {},
  manners: Manners = {},
): Promise<Fixture> {
  const broker = await FakeBroker.start(manners);
  const { log, lines } = keeper();
  const app = makeApp(broker, { log, ...options });
  t.after(async () => {
    await broker.stop();
    await app.close();
  });
  define(app);
  await app.connect();
  return { app, broker, worker: await broker.worker(), lines };
}

/** What a link needs of an app that serves nothing. */
export function linkHost(over: Partial<LinkHost> = {}): LinkHost {
  return {
    key: parseKey(secret),
    instance: "i",
    version: "0",
    library: "test",
    inFlightMax: 10,
    clock: new Clock(),
    log: { warn() {}, error() {} },
    ca: undefined,
    declaration: () => '{"endpoints":[]}',
    load: () => ({ cpu: 0, rss_bytes: 0, rss_limit_bytes: 0, delay_ms: 0, in_flight: 0 }),
    bodyRule: () => ({ most: 0, stream: false }),
    start() {},
    counted() {},
    live() {},
    brokerDrains() {},
    closed() {},
    refused() {},
    ...over,
  };
}

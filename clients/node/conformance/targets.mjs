/** The two that a case runs on, behind one interface: `serve(build)` gives `{ url, close() }`. */
import { once } from "node:events";
import express from "express";
import hera from "../dist/index.js";

/** Express 5 on a port of its own. */
export async function onExpress(build) {
  const app = express();
  // Express writes unhandled errors to the console in any other environment.
  app.set("env", "test");
  build(app, express);
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The same app as a worker behind a broker. */
export async function onHera(build, brokers) {
  const broker = await brokers.take();
  const app = hera({ brokers: broker.workers, secret: brokers.key, signals: false, log: false, drainTimeout: 0 });
  const close = async () => {
    await broker.stop();
    await app.close();
  };
  try {
    app.set("env", "test");
    build(app, hera);
    await app.connect();
  } catch (error) {
    await close();
    throw error;
  }
  return { url: broker.url, close };
}

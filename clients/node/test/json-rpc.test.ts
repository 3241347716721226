/** The wire is JSON-RPC 2.0 as others understand it: an unmodified JSON-RPC server serves Hera's calls, behind nothing but a reader
 *  of frames and the two steps of the handshake.
 *
 *  With HERA_TEST_BROKER (`hera://host:port`) and HERA_TEST_SECRET it serves a real broker instead of the fake one; then HERA_TEST_HTTP
 *  (`http://host:port`) and HERA_TEST_TOKEN, if set, are used to call it by curl. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { JSONRPCServer } from "json-rpc-2.0";
import { encodeFrame, FrameReader, sessionLimits } from "../src/frame.js";
import { judgeAnswer, prove, proveHead } from "../src/handshake.js";
import { parseKey } from "../src/key.js";
import { FakeBroker, secret as fakeSecret, type Json } from "./fake-broker.js";

const { HERA_TEST_BROKER, HERA_TEST_SECRET, HERA_TEST_HTTP, HERA_TEST_TOKEN } = process.env;
const ENDPOINT = "GET /0/json-rpc-test/{name}";

/** Bodies travel beside the JSON: a method leaves its own here until its response is written. */
type Bodies = Map<number, Buffer>;

function makeServer(bodies: Bodies): JSONRPCServer {
  const server = new JSONRPCServer();
  server.addMethod(ENDPOINT, ({ path_params, request_id }: Json) => {
    bodies.set(0, Buffer.from(`hello ${path_params.name}, ${request_id.length > 0}`));
    return { status: 200, headers: [["content-type", "text/plain"]] };
  });
  server.addMethod("ping", () => ({}));
  server.addMethod("status", () => ({ cpu: 0.1, in_flight: 0 }));
  return server;
}

/** Serves until the broker is left; resolves once the endpoint is live. */
async function serve(broker: string, secret: string): Promise<{ leave(): void }> {
  const key = parseKey(secret);
  const bodies: Bodies = new Map();
  const server = makeServer(bodies);
  const { hostname, port } = new URL(broker.replace("hera:", "http:"));
  const socket = connect(Number(port), hostname);
  const hello = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "hello",
    params: {
      versions: [1],
      features: [],
      nonce: randomBytes(32).toString("hex"),
      key: key.id,
      instance: `json-rpc-${process.pid}`,
      version: "0",
      library: "json-rpc-2.0",
    },
  });
  const declare = { jsonrpc: "2.0", id: 3, method: "declare", params: { endpoints: [{ endpoint: ENDPOINT }] } };
  const reader = new FrameReader(sessionLimits);
  socket.write(encodeFrame(hello));

  return new Promise((live, failed) => {
    socket.on("error", failed);
    socket.on("data", (bytes: Buffer) => {
      reader.push(bytes, (head, attachment) => {
        const message: Json = JSON.parse(head.toString());
        if (message.error) failed(new Error(JSON.stringify(message.error)));
        else if (message.method) {
          void server.receive(message).then((response) => {
            // A status that is asked meanwhile has none, and must not take the body of the call.
            const body = message.method === ENDPOINT ? bodies.get(0) : undefined;
            if (body) bodies.clear();
            if (response) socket.write(encodeFrame(JSON.stringify(response), body));
          });
        } else if (message.id === 1) {
          const answer = judgeAnswer(key, Buffer.from(hello), head, attachment, null);
          if (answer instanceof Error) {
            failed(answer);
            return false;
          }
          socket.write(encodeFrame(proveHead, prove(key.seed, "worker", answer.said)));
        } else if (message.id === 2) socket.write(encodeFrame(JSON.stringify(declare)));
        else if (message.id === 3) live({ leave: () => socket.destroy() });
        return true;
      });
    });
  });
}

test("unmodified JSON-RPC server serves calls of a fake broker", {
  skip: HERA_TEST_BROKER !== undefined && "a real broker is given",
}, async (t) => {
  const broker = await FakeBroker.start();
  t.after(() => broker.stop());
  const server = await serve(broker.url, fakeSecret);
  const worker = await broker.worker();

  const { message, attachment } = await worker.ask(ENDPOINT, {
    path: "/0/json-rpc-test/ann",
    path_params: { name: "ann" },
  });
  worker.send({ id: 900, method: "future", params: {} });
  const unknown = await worker.response(900);

  assert.deepEqual(message, {
    jsonrpc: "2.0",
    id: 1,
    result: { status: 200, headers: [["content-type", "text/plain"]] },
  });
  assert.equal(attachment.toString(), "hello ann, true");
  assert.equal(unknown.message.error.code, -32601);
  server.leave();
});

test("unmodified JSON-RPC server serves calls of a real broker", {
  skip: HERA_TEST_BROKER === undefined && "HERA_TEST_BROKER is not set",
}, async (t) => {
  const server = await serve(HERA_TEST_BROKER as string, HERA_TEST_SECRET as string);
  // Also where the call fails: an open socket would keep this process, and who waits for it, for ever.
  t.after(() => server.leave());
  if (HERA_TEST_HTTP) {
    const token = HERA_TEST_TOKEN ? ["--header", `Hera-Token: ${HERA_TEST_TOKEN}`] : [];
    const args = ["--silent", "--show-error", "--fail", ...token, `${HERA_TEST_HTTP}/0/json-rpc-test/ann`];
    const { stdout } = await promisify(execFile)("curl", args);
    assert.equal(stdout, "hello ann, true");
  }
});

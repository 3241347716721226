// HERA=hera://… SECRET=… TOKEN=… node front.mjs HOST:PORT: a service that asks another for its answer: nowhere, over the bus, or over HTTP with connections that are kept.
import http from "node:http";
import hera from "../../clients/node/dist/index.js";

const [host, port] = process.argv[2].split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const headers = { "hera-token": process.env.TOKEN };

function get(path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host, port, path, agent, headers }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve(JSON.parse(Buffer.concat(pieces).toString())));
    });
    request.on("error", reject);
  });
}

const app = hera();
app.get("/0/front/none", (_req, res) => res.json({}));
app.get("/0/front/bus", async (req, res) => res.json((await req.call("GET /0/small")).body));
app.get("/0/front/http", async (_req, res) => res.json(await get("/0/small")));
await app.connect();

// node fastify.mjs PORT: the five routes as Fastify's users write them.
import Fastify from "fastify";
import { orders } from "./five.mjs";

const app = Fastify();
app.get("/0/health", async () => ({ ok: true }));
app.get("/0/users/:id", async (req) => ({ id: req.params.id, name: "Ada Lovelace", text: "x".repeat(90) }));
app.get("/0/users/:id/orders", async (req) => ({ user: req.params.id, first: Number(req.query.first ?? 0), orders }));
app.post("/0/users", async (req, reply) => {
  reply.code(201);
  return { id: "7", name: req.body.name };
});
app.delete("/0/users/:id", async (_req, reply) => reply.code(204).send());
await app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });

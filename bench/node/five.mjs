// The five routes, written for Express; Hera's client takes them as they stand.
const orders = ["book", "lamp", "chair"].map((name, id) => ({ id, name, price: 10 * (id + 1) }));

export function fiveRoutes(app) {
  app.get("/0/health", (_req, res) => {
    res.json({ ok: true });
  });
  app.get("/0/users/:id", (req, res) => {
    res.json({ id: req.params.id, name: "Ada Lovelace", text: "x".repeat(90) });
  });
  app.get("/0/users/:id/orders", (req, res) => {
    res.json({ user: req.params.id, first: Number(req.query.first ?? 0), orders });
  });
  app.post("/0/users", (req, res) => {
    res.status(201).json({ id: "7", name: req.body.name });
  });
  app.delete("/0/users/:id", (_req, res) => {
    res.sendStatus(204);
  });
}

export { orders };

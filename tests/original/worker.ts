import hera from "hera-client";
import database from "./lib/database.js";

const heraClient = hera({ secret: process.env.SECRET, zk: process.env.HERA });
// Hera endpoint this worker is capable of serving
heraClient.get("/0/metrics-api", (req, res, next) => {
  database.find({ id: req.data.id }, (e, result) => {
    if (e) return next(e);
    return res.json(result);
  });
});
// register this worker on Hera, and start serving requests
heraClient.connect(() => {
  console.log("connected to hera");
});

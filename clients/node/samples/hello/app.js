// HERA=hera://127.0.0.1:4372 SECRET=herakey_… node app.js
import hera from "hera-client";

const app = hera({ version: "1.0.0" });

app.use((req, _res, next) => {
  console.log(`${req.id} ${req.method} ${req.path}`);
  next();
});

app.get("/0/hello/:name", (req, res) => {
  res.json({ hello: req.params.name });
});

await app.connect();
console.log("connected to hera");

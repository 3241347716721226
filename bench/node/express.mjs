// node express.mjs PORT
import express from "express";
import { fiveRoutes } from "./five.mjs";

const app = express();
app.use(express.json());
fiveRoutes(app);
app.listen(Number(process.argv[2]), "127.0.0.1");

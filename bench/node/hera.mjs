// HERA=hera://… SECRET=… node hera.mjs
import hera from "../../clients/node/dist/index.js";
import { fiveRoutes } from "./five.mjs";

const app = hera();
fiveRoutes(app);
await app.connect();

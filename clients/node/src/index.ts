/** Serve HTTP endpoints through Hera: `const app = hera({...})`, `app.get(...)`, `await app.connect()`. */
import { App } from "./app.js";
import { type Options, readOptions } from "./options.js";

/** Makes an app. Nothing is dialled before `connect()`.
 *  @throws HeraError `bad_option` or `zookeeper_unsupported` */
export function hera(options: Options = {}): App {
  return new App(readOptions(options, process.env));
}

export default hera;

export type { App, Route } from "./app.js";
export type { Caller } from "./call.js";
export { HeraError, type RefusedEndpoint } from "./errors.js";
export type { ErrorHandler, Handler, Next } from "./layer.js";
export type { EndpointOptions, Log, Options } from "./options.js";
export type { Params } from "./pattern.js";
export type { Request } from "./request.js";
export type { Response } from "./response.js";
// So that `require("hera-client")` gives the callable itself.
export { hera as "module.exports" };

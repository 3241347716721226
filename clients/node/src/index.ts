/** Serve HTTP endpoints through Hera: `const app = hera({...})`, `app.get(...)`, `await app.connect()`. */
import { App } from "./app.js";
import { json, raw, text, urlencoded } from "./body-parsers.js";
import { HeraError } from "./errors.js";
import { type Options, readOptions } from "./options.js";
import { Router } from "./router.js";

/** Makes an app. Nothing is dialled before `connect()`.
 *  @throws HeraError `bad_option` */
export function hera(options: Options = {}): App {
  return new App(readOptions(options, process.env));
}

// Where Express has them, so that `express.Router()` and `express.json()` need no more than another name.
hera.Router = Router;
hera.json = json;
hera.urlencoded = urlencoded;
hera.text = text;
hera.raw = raw;
// What `require` gives is the function, so names that are taken out of it have to be there.
hera.hera = hera;
hera.HeraError = HeraError;

export default hera;

export type { App } from "./app.js";
export type { Fields } from "./body.js";
export type { BodyParserOptions } from "./body-parsers.js";
export type { Caller } from "./call.js";
export type { RefusedEndpoint } from "./errors.js";
export type { InjectedReply, InjectOptions } from "./inject.js";
export type { ErrorHandler, ForeignHandler, Handler, Next } from "./layer.js";
export type { EndpointOptions, Log, Options } from "./options.js";
export type { Params, Path } from "./pattern.js";
export type { RemoteReply } from "./remote-reply.js";
export type { CallOptions, QueryValue } from "./remote-request.js";
export type { CallStub, StubbedCall, StubReply } from "./remote-stub.js";
export type { Request } from "./request.js";
export type { CookieOptions, HeaderValue, Response } from "./response.js";
export type { Route } from "./route.js";
export type { RouteParams } from "./route-params.js";
export type { ParamHandler, RoutesOptions as RouterOptions } from "./routes.js";
export type { SendFileOptions } from "./send-file.js";
// So that `require("hera-client")` gives the callable itself.
export { HeraError, hera as "module.exports", json, Router, raw, text, urlencoded };

/** Files as answers, by the package `send` that Express uses too: ranges, conditions, types, and no way out of the root. */
import send from "send";
import type { Next } from "./layer.js";
import type { Request } from "./request.js";
import type { Response } from "./response.js";

export interface SendFileOptions {
  /** The folder that relative paths are under, and that none leaves. */
  root?: string;
  headers?: Record<string, string>;
  /** Milliseconds, or text such as `1d`, for `Cache-Control`. */
  maxAge?: number | string;
  immutable?: boolean;
  cacheControl?: boolean;
  lastModified?: boolean;
  acceptRanges?: boolean;
  /** Files and folders whose names begin with a dot. Default `ignore`: 404. */
  dotfiles?: "allow" | "deny" | "ignore";
}

/** @param done runs at the end; without it a folder is handed on, and errors go to the error handlers */
export function sendFile(
  req: Request,
  res: Response,
  path: string,
  options: SendFileOptions & { etag: boolean },
  done: Next | undefined,
): void {
  const next = req.next as Next;
  let over = false;
  const finish = (error?: Error & { code?: string; syscall?: string }): void => {
    if (over) return;
    over = true;
    if (done) return done(error);
    if (error?.code === "EISDIR") return next();
    if (error && error.code !== "ECONNABORTED" && error.syscall !== "write") next(error);
  };
  const file = send(req, encodeURI(path), options);
  file.on("directory", () => finish(Object.assign(new Error("EISDIR, read"), { code: "EISDIR" })));
  file.on("error", finish);
  file.on("end", () => finish());
  res.on("finish", () => finish());
  res.on("close", () => finish(Object.assign(new Error("Request aborted"), { code: "ECONNABORTED" })));
  const { headers } = options;
  if (headers) {
    file.on("headers", () => {
      for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
    });
  }
  file.pipe(res);
}

/** The name of a call in the chain of the remote calls within it (P-53). */
import { hash } from "node:crypto";

/** @param path canonical
 *  @param query raw; undefined or null where there is none */
export function callName(method: string, path: string, query: string | null | undefined): string {
  const target = query === undefined || query === null ? path : `${path}?${query}`;
  return hash("sha256", `${method} ${target}`, "hex").slice(0, NAME_DIGITS);
}

const NAME_DIGITS = 16;

/** The endpoint that a broker would choose for a call (P-48): for `inject`, which has none. */

/** Gives the one of `endpoints` that takes a call of this method and canonical path, or the methods that the path has. */
export function lookup(
  endpoints: readonly string[],
  method: string,
  path: string,
): { endpoint: string } | { allow: string[] } {
  const parts = path === "/" ? [] : path.slice(1).split("/");
  const matching = endpoints
    .map((endpoint) => ({ endpoint, segments: endpoint.slice(endpoint.indexOf(" ") + 2).split("/") }))
    .filter(({ segments }) => fits(segments, parts));
  const methodOf = (endpoint: string): string => endpoint.slice(0, endpoint.indexOf(" "));
  const ranks = (endpoint: string): number => {
    const own = methodOf(endpoint);
    return own === method ? 0 : own === "GET" && method === "HEAD" ? 1 : own === "*" ? 2 : 3;
  };
  const taking = matching.filter(({ endpoint }) => ranks(endpoint) < 3);
  taking.sort((a, b) => specificity(a.segments, b.segments) || ranks(a.endpoint) - ranks(b.endpoint));
  const [best] = taking;
  if (best) return { endpoint: best.endpoint };
  const methods = matching.map(({ endpoint }) => methodOf(endpoint));
  return { allow: [...new Set(methods.flatMap((own) => (own === "GET" ? ["GET", "HEAD"] : [own])))].sort() };
}

function fits(segments: string[], parts: string[]): boolean {
  const tail = segments.at(-1)?.startsWith("{*") === true;
  if (tail ? parts.length < segments.length : parts.length !== segments.length) return false;
  return segments.every((segment, i) => segment.startsWith("{") || segment === parts[i]);
}

/** Static before parameter before tail, segment by segment. */
function specificity(a: string[], b: string[]): number {
  const kind = (segment = ""): number => (segment.startsWith("{*") ? 2 : segment.startsWith("{") ? 1 : 0);
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = kind(a[i]) - kind(b[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}

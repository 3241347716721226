/** SIGTERM and SIGINT: the first one drains, a second one ends at once; both exit 0. */
const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** @param drain resolves when nothing is left to do
 *  @return how to stop listening */
export function onSignals(drain: () => Promise<void>): () => void {
  let draining = false;
  const listener = (): void => {
    if (draining) process.exit(0);
    draining = true;
    drain().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.removeListener(signal, listener);
  };
}

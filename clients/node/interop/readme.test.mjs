import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { HERA, startBroker } from "./broker.mjs";

const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
const client = fileURLToPath(new URL("../dist/index.js", import.meta.url));

test("five minutes of the README lead to a first service", async (t) => {
  const broker = await startBroker(t);
  const folder = await mkdtemp(join(tmpdir(), "hera-readme-"));
  t.after(() => rm(folder, { recursive: true }));
  const [, program] = /```js\n([\s\S]*?)```/.exec(readme);
  await writeFile(join(folder, "app.mjs"), program.replace('"hera-client"', JSON.stringify(pathToFileURL(client))));
  const [, secrets] = /## Five minutes[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme);
  const [, serve] = /4\. `(.*?) &` prints `connected to hera`/.exec(readme);
  const [, ask, answer] = /5\. `(.*?)` prints `(.*?)`/.exec(readme);
  // The steps as they stand, but for the ports and the folder of this broker.
  const script = `set -e
hera() { "$HERA_BIN" "$@" --admin ${broker.admin} --data-dir '${broker.data}'; }
${secrets.replace(/^ +/gm, "")}
${serve.replace("hera://127.0.0.1:4372", broker.brokers)} > app.log &
trap 'kill $!; wait' EXIT
until grep -q 'connected to hera' app.log; do kill -0 $!; sleep 0.05; done
${ask.replace("http://127.0.0.1:8080", broker.http)}
`;
  const bash = spawn("bash", ["-c", script], {
    cwd: folder,
    env: { ...process.env, HERA_BIN: HERA },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  for (const stream of [bash.stdout, bash.stderr]) stream.on("data", (text) => (told += text));

  const [code] = await once(bash, "close");

  assert.equal(code, 0, told);
  assert.ok(told.includes(answer), told);
});

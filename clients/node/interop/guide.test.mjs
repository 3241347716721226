import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { HERA, startBroker } from "./broker.mjs";

const guide = await readFile(new URL("../../../docs/guide/call-another-service.md", import.meta.url), "utf8");
const client = fileURLToPath(new URL("../dist/index.js", import.meta.url));

function blocks(language) {
  return [...guide.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text]) => text);
}

test("the guide to calling another service does what it says, line by line", async (t) => {
  const broker = await startBroker(t);
  const folder = await mkdtemp(join(tmpdir(), "hera-guide-"));
  t.after(() => rm(folder, { recursive: true }));
  const [users, orders] = blocks("js");
  for (const [name, program] of Object.entries({ users, orders })) {
    const imported = program.replace('"hera-client"', JSON.stringify(pathToFileURL(client)));
    await writeFile(join(folder, `${name}.mjs`), imported);
  }
  const [keys, serve, ...asks] = blocks("sh");
  // The steps as they stand, but for the ports and the folder of this broker.
  const script = `set -e
hera() { "$HERA_BIN" "$@" --admin ${broker.admin} --data-dir '${broker.data}'; }
${keys}
${serve.replace(/^(\S+) node (\w+)\.mjs &$/gm, "$1 node $2.mjs >$2.log 2>&1 &")}
trap 'kill $(jobs -p); wait' EXIT
for name in users orders; do until grep -q "$name are served" $name.log; do sleep 0.05; done; done
${asks.map((ask) => `${ask.replace("http://127.0.0.1:8080", broker.http)}echo`).join("\n")}
cat orders.log
`;
  const bash = spawn("bash", ["-c", script], {
    cwd: folder,
    env: { ...process.env, HERA_BIN: HERA, HERA: broker.brokers },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  let complaints = "";
  bash.stdout.on("data", (text) => (told += text));
  bash.stderr.on("data", (text) => (complaints += text));

  const [code] = await once(bash, "close");

  assert.equal(code, 0, told + complaints);
  const answers = told.split("\n");
  for (const [n, expected] of blocks("json").entries()) {
    const { request_id: _, ...answer } = JSON.parse(answers[n]);
    assert.deepEqual(answer, JSON.parse(expected), told);
  }
  assert.match(told, /hera key update orders --call 'GET \/0\/users\/\*\*' --call 'GET \/0\/stock\/7'/);
});

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import type { BrokerNode } from "../src/broker-node.js";
import { SavedList } from "../src/saved-list.js";
import { keeper } from "./fixture.js";

const SOURCE = "zk1:2181,zk2:2181/hera";
/** SHA-256 of the string, its first 16 digits. */
const FILE = "brokers-d81645b87bb6559f.json";
const one: BrokerNode = { id: "b-1", address: "10.0.0.1", port: 4372, protocols: ["hera/1+tcp"] };
const two: BrokerNode = { id: "b-2", address: "fd00::1", port: 1, protocols: ["hera/1+tls", "hera/2+quic"] };

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "hera-saved-"));
  t.after(() => rm(path, { recursive: true, maxRetries: 10 }));
  return path;
}

async function keep(list: SavedList, brokers: BrokerNode[]): Promise<void> {
  list.keep(brokers);
  await list.settled();
}

test("list is written for its owner alone, by its name, in its format, and is read again", async (t) => {
  const path = join(folder(t), "made", "deep");
  const { log, lines } = keeper();
  assert.deepEqual(await new SavedList(path, SOURCE, log).read(), []);

  await keep(new SavedList(path, SOURCE, log), [one, two]);

  assert.deepEqual(readdirSync(path), [FILE]);
  assert.equal(statSync(join(path, FILE)).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(readFileSync(join(path, FILE), "utf8")), { format: 1, brokers: [one, two] });
  assert.deepEqual(await new SavedList(path, SOURCE, log).read(), [one, two]);
  assert.deepEqual(await new SavedList(path, `${SOURCE}2`, log).read(), []);
  assert.deepEqual(lines, []);
});

test("list that is the file's already, or empty, is not written", async (t) => {
  const path = folder(t);
  const { log } = keeper();
  const list = new SavedList(path, SOURCE, log);
  await keep(list, [one]);
  const { ino } = statSync(join(path, FILE));

  await keep(list, [one]);
  await keep(list, []);
  await keep(new SavedList(path, SOURCE, log), [one]);

  assert.equal(statSync(join(path, FILE)).ino, ino);
  await keep(list, [two]);
  assert.notEqual(statSync(join(path, FILE)).ino, ino);
});

test("of lists that come at once the last one stands", async (t) => {
  const path = folder(t);
  const list = new SavedList(path, SOURCE, keeper().log);
  for (let port = 1; port <= 100; port++) list.keep([{ ...one, port }]);
  await list.settled();
  assert.equal((await new SavedList(path, SOURCE, keeper().log).read())[0]?.port, 100);
});

test("file that is damaged is told once, and gives what is good in it", async (t) => {
  const path = folder(t);
  const bad = ["", "{", "null", "[]", '{"format":2,"brokers":[]}', '{"format":1}', " ".repeat(1_048_577)];
  for (const text of bad) {
    writeFileSync(join(path, FILE), text);
    const { log, lines } = keeper();
    const list = new SavedList(path, SOURCE, log);
    assert.deepEqual(await list.read(), []);
    assert.deepEqual(await list.read(), []);
    assert.equal(lines.length, 1, text);
    await keep(list, [one]);
    assert.deepEqual(await list.read(), [one]);
  }
  const many = Array.from({ length: 70 }, (_, i) => ({ ...one, id: `b-${i}` }));
  writeFileSync(join(path, FILE), JSON.stringify({ format: 1, brokers: [null, { ...one, port: 0 }, two, ...many] }));
  const read = await new SavedList(path, SOURCE, keeper().log).read();
  assert.deepEqual([read[0], read.length], [two, 64]);
});

test("folder that cannot be made or written is told once, and nothing else", async (t) => {
  const path = folder(t);
  writeFileSync(join(path, "file"), "");
  // A folder in the place of the file: the rename fails, whoever we are.
  mkdirSync(join(path, "taken", FILE), { recursive: true });
  for (const place of [join(path, "file"), join(path, "file", "below"), join(path, "taken"), "/proc/none"]) {
    const { log, lines } = keeper();
    const list = new SavedList(place, SOURCE, log);
    await keep(list, [one]);
    await keep(list, [two]);
    assert.equal(lines.length, 1, place);
  }
  assert.deepEqual(readdirSync(join(path, "taken")), [FILE]);
  const { log, lines } = keeper();
  await keep(new SavedList(undefined, SOURCE, log), [one]);
  assert.deepEqual(lines, []);
});

test("ten processes write one file, and whoever reads finds a whole list", async (t) => {
  const path = folder(t);
  const module = new URL("../src/saved-list.js", import.meta.url).href;
  const source = `
    import { SavedList } from ${JSON.stringify(module)};
    const list = new SavedList(process.argv[1], ${JSON.stringify(SOURCE)}, { warn(text) { console.log(text); } });
    for (let port = 1; port <= 200; port++) {
      const brokers = Array.from({ length: 1 + port % 64 }, (_, i) => ({ ...${JSON.stringify(one)}, id: "b-" + i, port }));
      list.keep(brokers);
      await list.settled();
      const read = await list.read();
      if (read.length !== 1 + read[0].port % 64) console.log("torn", read.length, read[0].port);
    }`;
  const run = promisify(execFile);
  const args = ["--input-type=module", "--eval", source, path];
  const told = await Promise.all(Array.from({ length: 10 }, () => run(process.execPath, args)));

  assert.deepEqual(told.map(({ stdout }) => stdout).join(""), "");
  assert.deepEqual(readdirSync(path), [FILE]);
  assert.equal((await new SavedList(path, SOURCE, keeper().log).read()).length, 1 + (200 % 64));
});

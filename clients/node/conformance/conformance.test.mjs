import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { runs } from "./suite.mjs";

const names = (await readdir(new URL("cases/", import.meta.url))).filter((name) => name.endsWith(".mjs")).sort();
const groups = await Promise.all(names.map(async (name) => (await import(`./cases/${name}`)).default));

for (const { title, cases } of groups) runs(title, cases);

test("deviations of the suite are those of the README, and every other row says absent", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const section = readme.slice(readme.indexOf("## Where it differs from Express")).split("\n## ")[0];
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \|(.*)\|$/gm)];
  const told = rows.map(([, id]) => id);
  // What every case leaves out of its comparison is a deviation without a case of its own.
  const shown = new Set([
    "powered-by",
    ...groups.flatMap(({ cases }) => cases.flatMap(({ differs }) => differs?.id ?? [])),
  ]);
  const silent = rows.filter(([, id, text]) => !shown.has(id) && !text.includes("absent")).map(([, id]) => id);

  assert.deepEqual(
    [...shown].filter((id) => !told.includes(id)),
    [],
    "shown by a case, but no row of the README",
  );
  assert.deepEqual(silent, [], "rows of the README that no case shows");
  assert.equal(new Set(told).size, told.length);
});

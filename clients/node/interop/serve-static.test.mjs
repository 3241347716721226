import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import compression from "compression";
import serveStatic from "serve-static";
import { both } from "./both.mjs";
import { folder, writeFiles } from "./packed.mjs";

const TEXT = "0123456789".repeat(10_000);

/** Middleware alone declares nothing, so the paths of the files are declared as well. */
function serving(root, options) {
  return (app) => {
    app.use("/files", serveStatic(root, options));
    app.get("/files{/*path}", (_req, res) => res.status(404).send("no such file"));
    app.use((error, _req, res, _next) =>
      res
        .set(error.headers ?? {})
        .status(error.status)
        .send(error.message),
    );
  };
}

async function site(t) {
  const root = await folder(t);
  await writeFiles(root, {
    "index.html": "<h1>start</h1>",
    "long.txt": TEXT,
    "deep/page.html": "deep",
    ".hidden": "h",
  });
  await mkdir(join(root, "empty"));
  return root;
}

test("serve-static: files, their types and validators", async (t) => {
  const { same } = await both(t, serving(await site(t), { maxAge: "1d", immutable: true }));
  const { headers, text } = await same("/files/long.txt");
  assert.equal(text, TEXT);
  assert.equal(headers["cache-control"], "public, max-age=86400, immutable");
  assert.equal((await same("/files/deep/page.html")).text, "deep");
  assert.equal(
    (await same({ method: "HEAD", path: "/files/long.txt" })).headers["content-length"],
    String(TEXT.length),
  );
  for (const condition of [
    { "if-none-match": headers.etag },
    { "if-modified-since": headers["last-modified"] },
    { "if-none-match": '"other"' },
    { "if-match": '"other"' },
  ]) {
    await same({ path: "/files/long.txt", headers: condition });
  }
});

test("serve-static: ranges", async (t) => {
  const { same } = await both(t, serving(await site(t)));
  for (const range of ["bytes=0-9", "bytes=-5", "bytes=99990-", "bytes=5-4", "bytes=0-1,5-6", "chars=0-1"]) {
    await same({ path: "/files/long.txt", headers: { range } });
  }
  assert.equal((await same({ path: "/files/long.txt", headers: { range: "bytes=200000-" } })).status, 416);
});

test("serve-static: a folder has an index and is redirected to its slash; what is not there goes on", async (t) => {
  const { same } = await both(t, serving(await site(t)));
  assert.equal((await same("/files/")).text, "<h1>start</h1>");
  const { status, headers } = await same("/files/deep");
  assert.deepEqual([status, headers.location], [301, "/files/deep/"]);
  assert.equal((await same("/files")).headers.location, "/files/");
  for (const path of ["/files/missing", "/files/.hidden", "/files/empty/", "/files/long.txt/"]) {
    assert.equal((await same(path)).status, 404, path);
  }
});

test("serve-static: behind compression, whole or as a range", async (t) => {
  const root = await site(t);
  const { same } = await both(t, (app) => {
    app.use(compression());
    serving(root)(app);
  });
  const gzip = { "accept-encoding": "gzip" };
  const { body, headers } = await same({ path: "/files/long.txt", headers: gzip });
  assert.equal(gunzipSync(body).toString(), TEXT);
  assert.equal(headers["content-encoding"], "gzip");
  await same({ path: "/files/long.txt", headers: { ...gzip, "if-none-match": headers.etag } });
  await same({ path: "/files/deep/page.html", headers: gzip });
  await same({ method: "HEAD", path: "/files/long.txt", headers: gzip });
});

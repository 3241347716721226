import assert from "node:assert/strict";
import { test } from "node:test";
import multer from "multer";
import { both, call, hera } from "./both.mjs";

const memory = () => multer({ storage: multer.memoryStorage() });

/** A form with its content type; every call makes it anew. */
function form(...fields) {
  const boundary = "----hera-interop";
  const parts = fields.flatMap(([name, value, filename, type = "application/octet-stream"]) => {
    const file = filename === undefined ? "" : `; filename="${filename}"\r\nContent-Type: ${type}`;
    return [`--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`, value, "\r\n"];
  });
  const body = Buffer.concat([...parts, `--${boundary}--\r\n`].map((each) => Buffer.from(each)));
  return { method: "POST", body, headers: { "content-type": `multipart/form-data; boundary=${boundary}` } };
}

const file = (name, value, filename = "a.txt", type = "text/plain") => [name, value, filename, type];

const described = ({ fieldname, originalname, encoding, mimetype, size, buffer }) => ({
  fieldname,
  originalname,
  encoding,
  mimetype,
  size,
  text: buffer.length < 100 ? buffer.toString() : `${buffer.length} bytes`,
});

function handled(app) {
  app.use((error, _req, res, _next) => {
    const known = error instanceof multer.MulterError;
    const status = error.code === "LIMIT_FILE_SIZE" ? 413 : known ? 400 : 500;
    res.status(status).json({ known, code: error.code, field: error.field, message: error.message });
  });
}

test("multer: one file, and text fields beside it", async (t) => {
  const { same } = await both(t, (app) => {
    app.post("/one", memory().single("picture"), (req, res) =>
      res.json({ file: described(req.file), fields: req.body, none: req.files ?? null }),
    );
  });
  const sent = form(
    ["title", "a title"],
    file("picture", "bytes", "ünï.png", "image/png"),
    ["tags[]", "x"],
    ["tags[]", "y"],
  );
  const { status, json } = await same({ path: "/one", ...sent });
  assert.equal(status, 200);
  const { file: got, fields } = json();
  assert.deepEqual([got.originalname, got.mimetype, got.size, got.text], [got.originalname, "image/png", 5, "bytes"]);
  assert.deepEqual(fields, { title: "a title", tags: ["x", "y"] });
});

test("multer: several files of one field, of several fields, of any, and none", async (t) => {
  const { same } = await both(t, (app) => {
    const answer = (req, res) => {
      const files = Array.isArray(req.files)
        ? req.files.map(described)
        : Object.fromEntries(Object.entries(req.files ?? {}).map(([name, list]) => [name, list.map(described)]));
      res.json({ files, fields: req.body });
    };
    app.post("/array", memory().array("photos", 3), answer);
    app.post("/fields", memory().fields([{ name: "cover", maxCount: 1 }, { name: "pages" }]), answer);
    app.post("/any", memory().any(), answer);
    app.post("/none", memory().none(), answer);
    handled(app);
  });
  const photos = form(file("photos", "1", "1.txt"), file("photos", "2", "2.txt"));
  assert.equal((await same({ path: "/array", ...photos })).json().files.length, 2);
  const book = form(file("cover", "c"), file("pages", "1"), file("pages", "2"), ["title", "t"]);
  const { files, fields } = (await same({ path: "/fields", ...book })).json();
  assert.deepEqual([files.cover.length, files.pages.length, fields], [1, 2, { title: "t" }]);
  assert.equal((await same({ path: "/any", ...book })).json().files.length, 3);
  assert.deepEqual((await same({ path: "/none", ...form(["a", "1"], ["b", "ä"]) })).json().fields, { a: "1", b: "ä" });
  assert.equal((await same({ path: "/none", ...book })).status, 400);
});

test("multer: a call that is no form passes by", async (t) => {
  const { same } = await both(t, (app, { json }) => {
    app.use(json());
    app.post("/one", memory().single("picture"), (req, res) => res.json({ file: req.file ?? null, body: req.body }));
  });
  assert.deepEqual((await same({ method: "POST", path: "/one", body: { a: 1 } })).json(), {
    file: null,
    body: { a: 1 },
  });
});

test("multer: its limits are MulterErrors for the error handlers", async (t) => {
  const { same } = await both(t, (app) => {
    const limits = { fileSize: 10, files: 1, fields: 1, fieldSize: 5, parts: 3 };
    app.post("/one", multer({ storage: multer.memoryStorage(), limits }).any(), (_req, res) => res.json({}));
    app.post("/named", memory().single("picture"), (_req, res) => res.json({}));
    handled(app);
  });
  const cases = [
    [form(file("picture", "x".repeat(11))), 413, "LIMIT_FILE_SIZE"],
    [form(file("a", "1"), file("b", "2")), 400, "LIMIT_FILE_COUNT"],
    [form(["a", "1"], ["b", "2"]), 400, "LIMIT_FIELD_COUNT"],
    [form(["a", "123456"]), 400, "LIMIT_FIELD_VALUE"],
  ];
  for (const [sent, status, code] of cases) {
    const answer = await same({ path: "/one", ...sent });
    assert.deepEqual([answer.status, answer.json().code, answer.json().known], [status, code, true]);
  }
  const { status, json } = await same({ path: "/named", ...form(file("other", "1")) });
  assert.deepEqual([status, json().code, json().field], [400, "LIMIT_UNEXPECTED_FILE", "other"]);
});

test("multer: a form that is cut short or has no boundary is an error, and the app serves on", async (t) => {
  const { same } = await both(t, (app) => {
    app.post("/one", memory().single("picture"), (req, res) => res.json({ size: req.file?.size ?? null }));
    handled(app);
  });
  const whole = form(file("picture", "bytes"));
  await same({ path: "/one", ...whole, body: whole.body.subarray(0, -10) });
  await same({ path: "/one", ...whole, headers: { "content-type": "multipart/form-data" } });
  assert.deepEqual((await same({ path: "/one", ...whole })).json(), { size: 5 });
});

test("multer: a filter of the app's own, files that it leaves out and its errors", async (t) => {
  const { same } = await both(t, (app) => {
    const fileFilter = (_req, { mimetype }, done) => {
      if (mimetype === "text/html") done(new Error("no pages"));
      else done(null, mimetype.startsWith("image/"));
    };
    const upload = multer({ storage: multer.memoryStorage(), fileFilter });
    app.post("/images", upload.any(), (req, res) => res.json(req.files.map(described)));
    handled(app);
  });
  const mixed = form(file("a", "1", "a.png", "image/png"), file("b", "2", "b.txt"));
  assert.equal((await same({ path: "/images", ...mixed })).json().length, 1);
  const page = form(file("a", "1", "a.html", "text/html"));
  assert.deepEqual((await same({ path: "/images", ...page })).json(), { known: false, message: "no pages" });
});

test("multer: a file that needs many frames, gathered first or read as it comes", async (t) => {
  const size = 3_000_000;
  const { same } = await both(t, (app, framework) => {
    const upload = memory().single("big");
    const answer = (req, res) => {
      const { buffer } = req.file;
      res.json({ size: buffer.length, right: buffer.every((byte, i) => byte === i % 251), fields: req.body });
    };
    // What a broker lets through is an option of the endpoint; Express has none, and takes a handler at this place.
    app.post("/gathered", ...(framework === hera ? [{ bodyLimit: 4_000_000 }] : []), upload, answer);
    app.post("/streamed", ...(framework === hera ? [{ stream: true, bodyLimit: 4_000_000 }] : []), upload, answer);
  });
  const big = Buffer.from(Array.from({ length: size }, (_, i) => i % 251));
  for (const path of ["/gathered", "/streamed"]) {
    const { json } = await same({ path, ...form(["a", "1"], file("big", big), ["b", "2"]) });
    assert.deepEqual(json(), { size, right: true, fields: { a: "1", b: "2" } });
  }
});

test("multer: what is over the endpoint's limit does not reach the worker", async (t) => {
  let reached = 0;
  const { targets } = await both(t, (app) => {
    app.post("/one", memory().single("big"), (_req, res) => {
      reached++;
      res.json({});
    });
  });
  const { status, headers } = await call(targets.hera, { path: "/one", ...form(file("big", Buffer.alloc(1_100_000))) });
  assert.deepEqual([status, headers["content-type"], reached], [413, "application/problem+json", 0]);
});

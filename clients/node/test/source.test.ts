import assert from "node:assert/strict";
import { test } from "node:test";
import { HeraError } from "../src/errors.js";
import { readOptions } from "../src/options.js";
import { parseSource } from "../src/source.js";

function zookeeper(text: string): [servers: string[], tls: boolean[], chroot: string] {
  const source = parseSource(text);
  assert.ok("zookeeper" in source, text);
  const { servers, chroot } = source.zookeeper;
  assert.equal(source.zookeeper.text, text);
  return [servers.map(({ host, port }) => `${host} ${port}`), servers.map(({ tls }) => tls), chroot];
}

test("string with no scheme, zk or zks names zookeeper", () => {
  assert.deepEqual(zookeeper("hera.example:2181,other:2182/chroot"), [
    ["hera.example 2181", "other 2182"],
    [false, false],
    "/chroot",
  ]);
  assert.deepEqual(zookeeper("zk://a"), [["a 2181"], [false], ""]);
  assert.deepEqual(zookeeper("a/"), [["a 2181"], [false], ""]);
  assert.deepEqual(zookeeper("a/x/"), [["a 2181"], [false], "/x"]);
  assert.deepEqual(zookeeper("zks://[fd00::1]:2281,b/x.y/z_1-2"), [
    ["fd00::1 2281", "b 2181"],
    [true, true],
    "/x.y/z_1-2",
  ]);
  assert.deepEqual(zookeeper(`a/${"x".repeat(254)}`)[2].length, 255);
});

test("hera and heras name brokers", () => {
  assert.deepEqual(parseSource("hera://a,[::1]:1"), {
    brokers: [
      { host: "a", port: 4372, tls: false },
      { host: "::1", port: 1, tls: false },
    ],
  });
  assert.deepEqual(parseSource("heras://a/"), { brokers: [{ host: "a", port: 4372, tls: true }] });
});

test("what is neither is refused", () => {
  const refused = [
    ...[
      "",
      "zk://",
      "zk:///x",
      "a,,b",
      "a:0",
      "a:65536",
      "a:x",
      "u@a",
      "[::1",
      "fd00::1",
      "a b",
      "http://a",
      "hera://a/x",
    ],
    ...[
      "a//",
      "a/x//",
      "a//x",
      "a/.",
      "a/x/..",
      "a/x y",
      "a/x?y",
      "a/é",
      "a/x,b/y",
      `a/${"x".repeat(255)}`,
      `${"a,".repeat(64)}a`,
    ],
  ];
  for (const text of refused) {
    assert.throws(
      () => parseSource(text),
      (error) => error instanceof HeraError && error.code === "bad_option",
      text,
    );
  }
});

test("options come before HERA, and the folder of the saved list from the environment", () => {
  const source = (options: object, env: object) => readOptions(options, { HOME: "/h", ...env }).source;
  assert.ok("zookeeper" in (source({ zk: "a" }, { HERA: "hera://b" }) ?? {}));
  assert.ok("brokers" in (source({ brokers: "hera://a" }, { HERA: "b" }) ?? {}));
  assert.ok("zookeeper" in (source({}, { HERA: "b:2181" }) ?? {}));
  assert.equal(source({}, { HERA: "" }), undefined);

  const folder = (env: object) => readOptions({}, { ...env }).stateDir;
  assert.equal(folder({ HERA_STATE_DIR: "/s", XDG_STATE_HOME: "/x" }), "/s");
  assert.equal(folder({ HERA_STATE_DIR: "", XDG_STATE_HOME: "/x" }), "/x/hera");
  assert.match(folder({ XDG_STATE_HOME: "x" }) ?? "", /^\/.*\/\.local\/state\/hera$/);
});

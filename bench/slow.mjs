// What hostile connections cost the others: ordinary calls without and with thousands of heads that never come to their end, and the broker's memory
// after a gigabyte of heads that are refused.
//
//   node bench/slow.mjs [--connections 10000] [--rounds 3] [--seconds 10] [--rate 300] [--gigabytes 1] [--spare 2000]
//
// The slow ones are in a process of their own: each sends a byte of its head a second, and comes again when the broker cuts it after 10 s. The ordinary
// calls have an open loop: one is due every 1/rate s, over 16 connections, and its time counts from when it was due. What the machine itself loses to so many
// connections is seen by hanging them on another broker: that row is the one to compare with. The broker runs one thread. At its
// default http.connections_max of 10,000 as many slow connections would leave no place for others but those that are there; it is set to --spare more.
// RSS is from /proc; nothing is asserted.
import { spawn } from "node:child_process";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { answers, bin, median, micros, option, rssKiB, Stage } from "./stage.mjs";

if (process.argv[2] === "dribble") await dribble(Number(process.argv[3]), Number(process.argv[4]));
else await main();

/** Keeps `wanted` unfinished heads before the broker, and says how many there are. */
async function dribble(port, wanted) {
  const head = Buffer.from("GET /0/bench HTTP/1.1\r\nHost: h\r\nX-Slow: aaaaaaaaaaaaaaaa");
  const open = new Set();
  let cut = 0;
  const dial = () => {
    const socket = connect(port, "127.0.0.1");
    socket.sent = Math.floor(Math.random() * 10);
    socket.on("connect", () => socket.write(head.subarray(0, socket.sent)));
    socket.on("data", () => {});
    socket.on("error", () => {});
    socket.on("close", () => {
      cut++;
      open.delete(socket);
    });
    open.add(socket);
  };
  process.on("message", () => process.exit());
  for (;;) {
    // A tenth of them every 100 ms, so that each has its byte a second.
    for (const socket of open) {
      if (socket.writable && Math.random() < 0.1) socket.write(head.subarray(socket.sent % head.length, (socket.sent++ % head.length) + 1));
    }
    // As many come as go: a hundredth every 100 ms, since each is cut after 10 s. All at once would be cut all at once.
    for (let n = 0; n < wanted / 95 && open.size < wanted; n++) dial();
    process.send({ open: [...open].filter((socket) => socket.readyState === "open").length, cut });
    await pause(100);
  }
}

/** Milliseconds that ordinary calls took, and how many failed. */
async function load(url, token, rate, seconds) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const times = [];
  let failed = 0;
  const call = (due) =>
    new Promise((done) => {
      const asked = request(url, { agent, headers: { "Hera-Token": token } }, (response) => {
        response.resume();
        response.on("end", () => {
          if (response.statusCode === 200) times.push(performance.now() - due);
          else failed++;
          done();
        });
      });
      asked.on("error", () => (failed++, done()));
      asked.end();
    });
  const begun = performance.now();
  const calls = [];
  for (let n = 0; n < rate * seconds; ) {
    const due = begun + (n * 1000) / rate;
    if (due > performance.now()) await pause(1);
    else calls.push(call(due)), n++;
  }
  await Promise.all(calls);
  agent.destroy();
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), failed };
}

/** Heads that are each refused: too large by a little, or wrong in their last line. */
function hostileHeads() {
  const begin = "GET /0/bench HTTP/1.1\r\nHost: h\r\n";
  const fill = (bytes) => `X: ${"a".repeat(bytes)}\r\n`;
  return [
    `${begin}${fill(15_000)}bare line feed\n\r\n`,
    `${begin}${fill(15_000)}X: \x00\r\n\r\n`,
    begin + fill(17_000),
    begin + "X: 1\r\n".repeat(2_000),
    `GET /${"a".repeat(16_000)} HTTP/1.1\r\n`,
    "a".repeat(16_000),
    `${begin}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n${fill(14_000)}\r\n`,
  ].map((text) => Buffer.from(text, "latin1"));
}

async function flood(port, bytes) {
  const heads = hostileHeads();
  const refused = new Map();
  let [sent, n] = [0, 0];
  const one = () =>
    new Promise((done) => {
      const head = heads[n++ % heads.length];
      const socket = connect(port, "127.0.0.1", () => socket.end(head));
      let answer = "";
      socket.on("data", (data) => (answer ||= data.toString("latin1", 9, 12)));
      socket.on("error", () => {});
      socket.on("close", () => {
        sent += head.length;
        refused.set(answer, (refused.get(answer) ?? 0) + 1);
        done();
      });
    });
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      while (sent < bytes) await one();
    }),
  );
  return { sent, refused: [...refused].map(([status, count]) => `${count} x ${status || "no answer"}`).join(", ") };
}

async function main() {
  const [connections, rounds, seconds] = [option("connections", 10_000), option("rounds", 3), option("seconds", 10)];
  const [rate, gigabytes, spare] = [option("rate", 300), option("gigabytes", 1), option("spare", 2_000)];
  process.env.HERA_HTTP__CONNECTIONS_MAX = String(connections + spare);
  const [stage, elsewhere] = [new Stage(), new Stage()];
  let slow;
  try {
    const hera = await stage.broker();
    const port = Number(new URL(hera.url).port);
    const url = `${hera.url}/0/bench`;
    stage.start(bin("examples/bench"), [], { env: { ...process.env, HERA: hera.hera, SECRET: hera.key } });
    await stage.until(() => answers(url, hera.token) !== "", "the worker");
    await load(url, hera.token, rate, 2);
    const idle = rssKiB(hera.pid);

    const other = await elsewhere.broker();
    const hang = async (url) => {
      const port = new URL(url).port;
      let state = { open: 0, cut: 0 };
      slow = spawn(process.execPath, [fileURLToPath(import.meta.url), "dribble", port, String(connections)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      slow.on("message", (said) => (state = said));
      while (state.open < connections * 0.85) await pause(100);
      return () => state;
    };
    const rows = new Map(["alone", "slow ones elsewhere", "slow ones here"].map((name) => [name, []]));
    let most = 0;
    for (let round = 0; round < rounds; round++) {
      for (const [name, target] of [["alone"], ["slow ones elsewhere", other.url], ["slow ones here", hera.url]]) {
        const state = target && (await hang(target));
        const cpu = micros(hera.pid);
        const times = await load(url, hera.token, rate, seconds);
        rows.get(name).push({ ...times, cpu: (micros(hera.pid) - cpu) / seconds / 10_000 });
        most = Math.max(most, rssKiB(hera.pid));
        if (state) console.log(`round ${round + 1}, ${name}: ${state().open} at its end, ${state().cut} were cut and came again`);
        slow?.kill("SIGKILL");
        await pause(1_000);
      }
    }
    console.log(`${rounds} rounds of ${seconds} s, ${rate} calls/s, ${connections} slow connections, ms:`);
    console.log("| calls | p50 | p99 of each round | p99.9 | failed | CPU of the broker, % |\n|---|---|---|---|---|---|");
    for (const [name, measured] of rows) {
      const of = (key) => median(measured.map((row) => row[key])).toFixed(2);
      const failed = measured.reduce((sum, row) => sum + row.failed, 0);
      console.log(`| ${name} | ${of("p50")} | ${measured.map((row) => row.p99.toFixed(2)).join(" ")} | ${of("p999")} | ${failed} | ${of("cpu")} |`);
    }
    console.log(`RSS of the broker: ${idle} KiB before, ${most} KiB with them, ${rssKiB(hera.pid)} KiB after`);

    await flood(port, 64 << 20);
    const warm = rssKiB(hera.pid);
    const begun = performance.now();
    const { sent, refused } = await flood(port, gigabytes * 1e9);
    const took = ((performance.now() - begun) / 1000).toFixed(1);
    console.log(`${(sent / 1e9).toFixed(2)} GB of hostile heads in ${took} s (${refused})`);
    console.log(`RSS of the broker: ${warm} KiB after the first 64 MB, ${rssKiB(hera.pid)} KiB after all of them`);
    console.log(`a call still answers: ${answers(url, hera.token) !== ""}`);
  } finally {
    slow?.kill("SIGKILL");
    stage.end();
    elsewhere.end();
  }
}

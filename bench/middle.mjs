// CPU per call of the middle: Hera's broker beside HAProxy, in front of the same answer, in interleaved rounds of one run.
//
//   node bench/middle.mjs [--rounds 5] [--seconds 4] [--connections 64]
//
// Both run one thread, check a token and write an access log to a file. Hera's worker is a Rust process; behind HAProxy stands nginx on one
// worker process, giving the same 150 bytes. The load is wrk with one thread. CPU is user + system time from /proc over the round,
// divided by the calls that wrk counted; nothing is asserted.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const rounds = option("rounds", 5);
const seconds = option("seconds", 4);
const connections = option("connections", 64);

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const run = mkdtempSync(join(tmpdir(), "hera-bench-"));
const children = [];
const start = (command, args, options = {}) => {
  const log = openSync(join(run, `${children.length}.log`), "w");
  const child = spawn(command, args, { stdio: ["ignore", log, log], cwd: run, ...options });
  children.push(child);
  return child;
};
const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
const until = async (check, what) => {
  for (let tries = 0; tries < 200; tries++) {
    if (check()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  const logs = children.map((_, at) => readFileSync(join(run, `${at}.log`), "utf8").slice(-2000));
  throw new Error(`${what} did not come up\n${logs.join("\n")}`);
};
const answers = (url, token) => {
  try {
    return execFileSync("curl", ["-sf", url, "-H", `Hera-Token: ${token}`]).toString();
  } catch {
    return "";
  }
};

const ticks = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return Number(fields[11]) + Number(fields[12]);
};
const rssKiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const measure = (target) => {
  const before = { middle: ticks(target.pid), behind: ticks(target.behind) };
  const out = execFileSync("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-H", `Hera-Token: ${target.token}`, target.url]).toString();
  const calls = Number(/(\d+) requests in/.exec(out)[1]);
  if (/Non-2xx/.test(out)) throw new Error(`${target.name} answered errors`);
  const micros = (now, then) => ((now - then) * 10_000) / calls;
  return {
    perSecond: calls / seconds,
    middle: micros(ticks(target.pid), before.middle),
    behind: micros(ticks(target.behind), before.behind),
    p99: /99%\s+([\d.]+\w+)/.exec(out)?.[1],
  };
};

try {
  const bin = (name) => join(root, "target", "release", name);
  const [http, workers, admin, proxy, backend] = await Promise.all([1, 2, 3, 4, 5].map(freePort));
  const dir = join(run, "data");
  const hera = start(bin("hera"), ["broker", "--data-dir", dir, "--http", `127.0.0.1:${http}`, "--workers", `127.0.0.1:${workers}`, "--admin", `127.0.0.1:${admin}`], {
    env: { ...process.env, HERA_BROKER__CORES: "1", HERA_LOG__ACCESS: join(run, "access.log") },
  });
  const verb = (...args) => execFileSync(bin("hera"), [...args, "--admin", `127.0.0.1:${admin}`, "--data-dir", dir], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
  await until(() => readFileSync(join(run, "0.log"), "utf8").includes("ready http="), "hera");
  const idle = rssKiB(hera.pid);
  const token = verb("token", "create", "--name", "bench", "--allow", "GET /0/**");
  const key = verb("key", "create", "--name", "bench", "--serve", "/0/bench/**");
  const worker = start(bin("examples/bench"), [], { env: { ...process.env, HERA: `hera://127.0.0.1:${workers}`, SECRET: key } });

  const body = JSON.stringify({ id: 42, name: "bench", text: "x".repeat(114) });
  writeFileSync(join(run, "nginx.conf"), `daemon off; master_process off; worker_processes 1; pid ${run}/nginx.pid; error_log ${run}/nginx.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path ${run}/t1; proxy_temp_path ${run}/t2; fastcgi_temp_path ${run}/t3; uwsgi_temp_path ${run}/t4; scgi_temp_path ${run}/t5;
  server { listen 127.0.0.1:${backend} backlog=4096; location / { default_type application/json; return 200 '${body}'; } } }\n`);
  writeFileSync(join(run, "haproxy.cfg"), `global
  nbthread 1
  maxconn 5000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout http-keep-alive 60s
frontend f
  bind 127.0.0.1:${proxy}
  acl known req.hdr(Hera-Token) -m str ${token}
  http-request deny deny_status 401 unless known
  http-request del-header Hera-Token
  http-request set-header X-Request-Id %[uuid()]
  default_backend b
backend b
  server s 127.0.0.1:${backend}\n`);
  const nginx = start("nginx", ["-c", join(run, "nginx.conf"), "-p", run]);
  const haproxy = start("haproxy", ["-db", "-f", join(run, "haproxy.cfg")]);

  const targets = [
    { name: "Hera broker", pid: hera.pid, behind: worker.pid, url: `http://127.0.0.1:${http}/0/bench`, token },
    { name: "HAProxy", pid: haproxy.pid, behind: nginx.pid, url: `http://127.0.0.1:${proxy}/0/bench`, token },
  ];
  for (const target of targets) await until(() => answers(target.url, token) === body, target.name);

  const results = new Map(targets.map((target) => [target.name, []]));
  for (let round = 0; round < rounds; round++) for (const target of targets) results.get(target.name).push(measure(target));

  console.log(`${rounds} rounds of ${seconds} s, ${connections} connections, one thread each, token check and access log on`);
  console.log("| middle | us of CPU per call: median (min-max) | us of CPU per call behind it | calls/s | p99 |\n|---|---|---|---|---|");
  for (const [name, rows] of results) {
    const of = (key) => rows.map((row) => row[key]);
    const middle = of("middle");
    console.log(`| ${name} | ${median(middle).toFixed(1)} (${Math.min(...middle).toFixed(1)}-${Math.max(...middle).toFixed(1)}) | ${median(of("behind")).toFixed(1)} | ${Math.round(median(of("perSecond")))} | ${of("p99").join(" ")} |`);
  }
  const ratio = median(results.get("Hera broker").map((row, at) => row.middle / results.get("HAProxy")[at].middle));
  console.log(`ratio, Hera to HAProxy, median of the rounds: ${ratio.toFixed(2)}`);
  console.log(`RSS of the broker: ${idle} KiB idle, ${rssKiB(hera.pid)} KiB after the load`);
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(run, { recursive: true, force: true });
}

// CPU per call of the middle: Hera's broker beside HAProxy, in front of the same answer, in interleaved rounds of one run.
//
//   node bench/middle.mjs [--rounds 5] [--seconds 4] [--connections 64]
//
// Both run one thread, check a token and write an access log to a file. Hera's worker is a Rust process; behind HAProxy stands nginx on one
// worker process, giving the same 150 bytes. The load is wrk with one thread. CPU is user + system time from /proc over the round,
// divided by the calls that wrk counted; nothing is asserted.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { answers, bin, freePort, median, micros, option, rssKiB, Stage, spread } from "./stage.mjs";

const rounds = option("rounds", 5);
const seconds = option("seconds", 4);
const connections = option("connections", 64);

const measure = (target) => {
  const before = { middle: micros(target.pid), behind: micros(target.behind) };
  const out = execFileSync("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-H", `Hera-Token: ${target.token}`, target.url]).toString();
  const calls = Number(/(\d+) requests in/.exec(out)[1]);
  if (/Non-2xx/.test(out)) throw new Error(`${target.name} answered errors`);
  return {
    perSecond: calls / seconds,
    middle: (micros(target.pid) - before.middle) / calls,
    behind: (micros(target.behind) - before.behind) / calls,
    p99: /99%\s+([\d.]+\w+)/.exec(out)?.[1],
  };
};

const stage = new Stage();
const { run } = stage;
try {
  const hera = await stage.broker();
  const idle = rssKiB(hera.pid);
  const { token } = hera;
  const [proxy, backend] = await Promise.all([1, 2].map(freePort));
  const worker = stage.start(bin("examples/bench"), [], { env: { ...process.env, HERA: hera.hera, SECRET: hera.key } });

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
  const nginx = stage.start("nginx", ["-c", join(run, "nginx.conf"), "-p", run]);
  const haproxy = stage.start("haproxy", ["-db", "-f", join(run, "haproxy.cfg")]);

  const targets = [
    { name: "Hera broker", pid: hera.pid, behind: worker.pid, url: `${hera.url}/0/bench`, token },
    { name: "HAProxy", pid: haproxy.pid, behind: nginx.pid, url: `http://127.0.0.1:${proxy}/0/bench`, token },
  ];
  for (const target of targets) await stage.until(() => answers(target.url, token) === body, target.name);

  const results = new Map(targets.map((target) => [target.name, []]));
  for (let round = 0; round < rounds; round++) for (const target of targets) results.get(target.name).push(measure(target));

  console.log(`${rounds} rounds of ${seconds} s, ${connections} connections, one thread each, token check and access log on`);
  console.log("| middle | us of CPU per call: median (min-max) | us of CPU per call behind it | calls/s | p99 |\n|---|---|---|---|---|");
  for (const [name, rows] of results) {
    const of = (key) => rows.map((row) => row[key]);
    console.log(`| ${name} | ${spread(of("middle"))} | ${median(of("behind")).toFixed(1)} | ${Math.round(median(of("perSecond")))} | ${of("p99").join(" ")} |`);
  }
  const ratio = median(results.get("Hera broker").map((row, at) => row.middle / results.get("HAProxy")[at].middle));
  console.log(`ratio, Hera to HAProxy, median of the rounds: ${ratio.toFixed(2)}`);
  console.log(`RSS of the broker: ${idle} KiB idle, ${rssKiB(hera.pid)} KiB after the load`);
} finally {
  stage.end();
}

// The jobs that every middle is given. `bench worker` and `bench backend` (crates/hera-client/examples/bench) answer them with the same bytes.
import { ask } from "./stage.mjs";

const small = JSON.stringify({ id: 42, name: "bench", text: "x".repeat(114) });

export const jobs = [
  { name: "GET, 150 bytes of JSON", path: "/0/small", connections: [64, 256, 1000], answer: small },
  { name: "POST, 1 KiB there and back", path: "/0/echo", post: 1024, connections: [64, 256, 1000], answer: "x".repeat(1024) },
  { name: "GET, 64 KiB", path: "/0/large", connections: [64, 256], answer: "x".repeat(65536) },
  { name: "GET, a handler of 10 ms", path: "/0/slow", connections: [64, 256], answer: small },
];

/** What wrk is to send. */
export const load = (job, connections) => ({
  path: job.path,
  script: "fixed.lua",
  args: job.post ? [job.post] : [],
  connections,
});

/** Whether a target gives the answers of all jobs. */
export function answersAll(target) {
  return jobs.every((job) => {
    const post = job.post ? ["-d", "x".repeat(job.post)] : [];
    return ask(target.url + job.path, target.token, ...post).body === job.answer;
  });
}

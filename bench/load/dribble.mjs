// node dribble.mjs PORT WANTED: keeps so many unfinished heads before a broker, each a byte a second, and tells its parent how many there are.
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const [port, wanted] = process.argv.slice(2).map(Number);
const head = Buffer.from("GET /0/bench HTTP/1.1\r\nHost: h\r\nX-Slow: aaaaaaaaaaaaaaaa");
const open = new Set();
const dial = () => {
  const socket = connect(port, "127.0.0.1");
  socket.sent = Math.floor(Math.random() * 10);
  socket.on("connect", () => socket.write(head.subarray(0, socket.sent)));
  socket.on("data", () => {});
  socket.on("error", () => {});
  socket.on("close", () => open.delete(socket));
  open.add(socket);
};
for (;;) {
  // A tenth of them every 100 ms, so that each has its byte a second.
  for (const socket of open) {
    if (socket.writable && Math.random() < 0.1) socket.write(head.subarray(socket.sent % head.length, (socket.sent++ % head.length) + 1));
  }
  // As many come as go: a hundredth every 100 ms, since each is cut after 10 s. All at once would be cut all at once.
  for (let n = 0; n < wanted / 95 && open.size < wanted; n++) dial();
  process.send({ open: [...open].filter((socket) => socket.readyState === "open").length });
  await pause(100);
}

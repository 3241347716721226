/** Opens sockets to brokers and to ZooKeeper's servers. */
import { connect as dialTcp, isIP, type Socket } from "node:net";
import { connect as dialTls } from "node:tls";
import type { Address, Options } from "./options.js";

/** Opens a socket; calls back when it is connected, on TLS after its handshake. */
export type Dial = (address: Address, ca: Options["ca"], connected: () => void) => Socket;

export function dial({ host, port, tls }: Address, ca: Options["ca"], connected: () => void): Socket {
  if (!tls) return dialTcp({ host, port, noDelay: true, keepAlive: true }, connected);
  const servername = isIP(host) ? undefined : host;
  const options = { host, port, ...(servername && { servername }), ...(ca !== undefined && { ca }) };
  return dialTls(options, connected);
}

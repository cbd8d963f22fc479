/**
 * The server on a socket: listens, hands requests to the app, and on the way out lets replies finish before it closes.
 * The only file that knows sockets.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { ConfigError } from '../util/errors.ts';
import type { App, ConnectionInfo } from './app.ts';

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** A server that listens. */
export interface Listening {
  readonly url: string;
  readonly port: number;
  /** Takes no more connections and waits for the answers under way, at most `graceMs`; then `onGraceOver` is to end them. */
  close(graceMs: number, onGraceOver: () => void): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 20_000;
const BODY_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_MS = 65_000; // longer than what load balancers keep, which would else reuse a connection that closes
const LAST_WORDS_MS = 2000;

/** Listens for the app; throws a ConfigError where it cannot. */
export async function listen(app: App, { host, port }: ListenOptions): Promise<Listening> {
  const handler = getRequestListener((request, { outgoing }) =>
    app.fetch(request, { connection: connectionOf(outgoing as ServerResponse) }),
  );
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: BODY_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    (incoming, outgoing) => void handler(incoming, outgoing),
  );
  server.on('connection', (socket: Socket) => socket.setNoDelay(true));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    port: address.port,
    close: (graceMs, onGraceOver) => close(server, graceMs, onGraceOver),
  };
}

/** Whether a server could listen there now. */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

function connectionOf(outgoing: ServerResponse): ConnectionInfo {
  const remoteAddress = outgoing.socket?.remoteAddress;
  return { ...(remoteAddress === undefined ? {} : { remoteAddress }), destroy: () => outgoing.destroy() };
}

async function close(server: Server, graceMs: number, onGraceOver: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 100); // those whose answer has just ended
  const grace = setTimeout(onGraceOver, graceMs);
  const last = setTimeout(() => server.closeAllConnections(), graceMs + LAST_WORDS_MS);
  await closed;
  clearInterval(idle);
  clearTimeout(grace);
  clearTimeout(last);
}

function listenError({ code, message }: NodeJS.ErrnoException, host: string, port: number): ConfigError {
  if (code === 'EADDRINUSE') return new ConfigError(`port ${port} of ${host} is in use already; give another --port`);
  if (code === 'EACCES') return new ConfigError(`port ${port} may not be used by this user; give a --port above 1023`);
  return new ConfigError(`cannot listen on ${host}:${port} (${code ?? message}); give another --host or --port`);
}

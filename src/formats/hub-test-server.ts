/**
 * For tests: a local server that speaks the part of the hub's protocol a download uses, and can misbehave on request.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeFile {
  readonly content: Buffer;
  /** Large files are named by SHA-256 and served by redirect, small ones by their git object id. */
  readonly isLarge: boolean;
  /** What the hub claims, if not the truth. */
  readonly claimedHash?: string;
}

export interface FakeHub {
  readonly endpoint: string;
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly range: string | null;
    readonly token: string | null;
  }[];
  readonly files: Map<string, FakeFile>;
  /** Content requests break off after this many bytes, as long as the count lasts. */
  cuts: { bytes: number; times: number };
  /** Answers to come before normal service resumes. */
  failures: { status: number; times: number };
  gate: 'open' | 'needs-token';
  ignoresRanges: boolean;
  close(): Promise<void>;
}

export const FAKE_COMMIT = '0123456789abcdef0123456789abcdef01234567';
export const FAKE_REPO = 'org/model';
export const FAKE_TOKEN = 'any-token';

const RESOLVED_PATH = new RegExp(`^/${FAKE_REPO}/resolve/(?:main|${FAKE_COMMIT})/(.+)$`);

export function gitHash(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Starts the server on a free port of this machine. */
export async function startFakeHub(): Promise<FakeHub> {
  const server = createServer((request, response) => answer(hub, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const hub: FakeHub = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    files: new Map(),
    cuts: { bytes: 0, times: 0 },
    failures: { status: 0, times: 0 },
    gate: 'open',
    ignoresRanges: false,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return hub;
}

function answer(hub: FakeHub, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', hub.endpoint);
  const token = request.headers.authorization?.replace('Bearer ', '') ?? null;
  const range = request.headers.range ?? null;
  hub.requests.push({ method: request.method ?? '', url: url.pathname, range, token });
  if (hub.failures.times > 0) {
    hub.failures.times--;
    return void response.writeHead(hub.failures.status).end('busy');
  }
  const path = decodeURIComponent(url.pathname);
  const apiBase = `/api/models/${FAKE_REPO}`;
  if (path === `${apiBase}/revision/main` || path === `${apiBase}/revision/${FAKE_COMMIT}`) {
    return json(response, {
      _id: 'x',
      id: FAKE_REPO,
      sha: FAKE_COMMIT,
      private: false,
      gated: false,
      lastModified: '2026-01-01T00:00:00.000Z',
    });
  }
  if (path.startsWith(`${apiBase}/revision/`)) return refuse(response, 404, 'RevisionNotFound');
  if (path === `${apiBase}/tree/${FAKE_COMMIT}`) return json(response, treeOf(hub));
  const resolved = RESOLVED_PATH.exec(path);
  if (resolved !== null) {
    if (hub.gate === 'needs-token' && token !== FAKE_TOKEN) {
      return refuse(response, token === null ? 401 : 403, 'GatedRepo');
    }
    response.setHeader('X-Repo-Commit', FAKE_COMMIT); // Python's tools name snapshots by it
    return sendResolved(hub, resolved[1]!, range, response);
  }
  if (path.startsWith('/storage/')) return sendContent(hub, path.slice('/storage/'.length), range, response);
  refuse(response, 404, 'RepoNotFound');
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'X-Error-Code': code }).end(code);
}

function treeOf(hub: FakeHub): unknown[] {
  return [...hub.files].map(([path, file]) => treeEntry(path, file));
}

function treeEntry(path: string, { content, isLarge, claimedHash }: FakeFile): unknown {
  const base = { type: 'file', path, size: content.length };
  if (!isLarge) return { ...base, oid: claimedHash ?? gitHash(content) };
  const lfs = { oid: claimedHash ?? sha256(content), size: content.length, pointerSize: 134 };
  return { ...base, oid: gitHash(content), lfs };
}

function sendResolved(hub: FakeHub, path: string, range: string | null, response: ServerResponse): void {
  const file = hub.files.get(path);
  if (file === undefined) return refuse(response, 404, 'EntryNotFound');
  if (!file.isLarge) return sendContent(hub, path, range, response);
  const hash = file.claimedHash ?? sha256(file.content);
  // Another origin, as the hub's storage is; the token must not get there.
  const storage = hub.endpoint.replace('127.0.0.1', 'localhost');
  const linked = { 'X-Linked-ETag': `"${hash}"`, 'X-Linked-Size': file.content.length };
  response.writeHead(302, { Location: `${storage}/storage/${path}`, ...linked }).end();
}

function sendContent(hub: FakeHub, path: string, range: string | null, response: ServerResponse): void {
  const file = hub.files.get(path);
  if (file === undefined) return refuse(response, 404, 'EntryNotFound');
  const { content: bytes } = file;
  const match = hub.ignoresRanges && range !== 'bytes=0-0' ? null : /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  const [from, to] =
    match === null ? [0, bytes.length - 1] : [Number(match[1]), Math.min(Number(match[2]), bytes.length - 1)];
  const part = bytes.subarray(from, to + 1);
  const headers = {
    ETag: `"${file.isLarge ? sha256(bytes) : gitHash(bytes)}"`,
    'Content-Length': part.length,
    ...(match === null ? {} : { 'Content-Range': `bytes ${from}-${to}/${bytes.length}` }),
  };
  response.writeHead(match === null ? 200 : 206, headers);
  if (part.length <= 1 || hub.cuts.times === 0) return void response.end(part);
  hub.cuts.times--;
  response.write(part.subarray(0, hub.cuts.bytes), () => setImmediate(() => response.destroy()));
}

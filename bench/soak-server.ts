/**
 * The server of the soak, `cria serve` as a process of its own: a toy model, another in the cache of the hub, an API key, and limits so small
 * that clients reach them.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeToyFolder } from './toy-folder.ts';

/** The API key that the server accepts. */
export const KEY = 'soak-key-0123456789';
/** The model that lies in the cache of the hub. */
export const HUB_MODEL = 'org/cached';
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** Few KV blocks and a short queue, so that both run out; models leave memory after two idle seconds. */
const LIMITS = {
  context: 1024,
  parallel: 2,
  'max-sequences': 6,
  'max-waiting': 10,
  'max-body': 1,
  'keep-alive': 0.03,
  timeout: 120,
};

export interface SoakServer {
  readonly process: ChildProcess;
  readonly url: string;
  /** Its lines on stderr so far. */
  readonly stderr: string[];
  readonly ended: Promise<number | null>;
}

/** Starts the server on files of its own in `folder` (the model in `toy`, the cache of the hub in `hub`) and waits until it is healthy. */
export async function startServer(folder: string): Promise<SoakServer> {
  const child = spawnServer(folder, await writeServerFiles(folder));
  const stderr: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => stderr.push(line));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const first = await Promise.race([
    new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then((status) => Promise.reject(new Error(`the server ended with ${status}: ${stderr.join('\n')}`))),
  ]);
  const { url } = JSON.parse(first) as { url: string };
  for (let i = 0; i < 600 && !(await fetch(`${url}/health`)).ok; i++) await sleep(100);
  return { process: child, url, stderr, ended };
}

interface ServerFiles {
  readonly model: string;
  readonly hubCache: string;
  readonly apiKeys: string;
}

async function writeServerFiles(folder: string): Promise<ServerFiles> {
  const files = { model: join(folder, 'toy'), hubCache: join(folder, 'hub'), apiKeys: join(folder, 'keys') };
  await writeToyFolder(files.model);
  const cached = join(files.hubCache, `models--${HUB_MODEL.replace('/', '--')}`);
  cpSync(files.model, join(cached, 'snapshots', COMMIT), { recursive: true });
  cpSync(files.model, join(cached, 'blobs'), { recursive: true });
  mkdirSync(join(cached, 'refs'));
  writeFileSync(join(cached, 'refs', 'main'), COMMIT);
  writeFileSync(files.apiKeys, `${KEY}\n`);
  return files;
}

function spawnServer(folder: string, files: ServerFiles): ChildProcessByStdio<null, Readable, Readable> {
  const cria = fileURLToPath(new URL('../bin/cria.mjs', import.meta.url));
  const limits = Object.entries(LIMITS).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const flags = ['--port', '0', '--json', '--log-level', 'warn', '--api-key-file', files.apiKeys, ...limits];
  return spawn(process.execPath, [cria, 'serve', files.model, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HF_HUB_CACHE: files.hubCache, HF_HUB_OFFLINE: '1', CRIA_CACHE: join(folder, 'cache') },
  });
}

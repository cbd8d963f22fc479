/**
 * Whether cria and Hugging Face's Python tools find in a shared cache folder what the other one downloaded, without a network.
 * Both download from a local server that speaks the hub's protocol.
 *
 *   npx tsx bench/hub-cache.ts [--json]
 *
 * Needs huggingface_hub and transformers (bench/peers/README.md).
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { report } from './interleave.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { FAKE_COMMIT, FAKE_REPO, startFakeHub, type FakeHub } from '../src/formats/hub-test-server.ts';

const MODEL = 'test/fixtures/formats/toy-hf';
const NUM_PARAMETERS = 26_272;
const NO_SERVER = 'http://127.0.0.1:9';

interface Check {
  readonly what: string;
  readonly holds: boolean;
  /** What was seen instead. */
  readonly seen: unknown;
}

interface Listed {
  readonly id: string;
  readonly bytes: number;
  readonly complete: boolean;
}

interface Scanned {
  readonly repos: readonly { readonly repo: string; readonly sizeBytes: number; readonly refs: readonly string[] }[];
  readonly warnings: readonly string[];
}

const check = (what: string, holds: boolean, seen: unknown): Check => ({ what, holds, seen });

type Env = Readonly<Record<string, string>>;

const run = promisify(execFile);

async function json<T>(program: string, args: readonly string[], env: Env): Promise<T> {
  const { stdout } = await run(program, args, { env: { ...process.env, ...env } });
  return JSON.parse(stdout) as T;
}

const python = <T>(env: Env, ...args: string[]) => json<T>(peersPython(), [peerScript('hub_cache.py'), ...args], env);
const cria = <T>(env: Env, ...args: string[]) =>
  json<T>(process.execPath, [join(import.meta.dirname, '../bin/cria.mjs'), ...args, '--json'], env);

/** The toy model, and two files that cria does not need. */
async function serveToy(hub: FakeHub): Promise<string[]> {
  const names = await readdir(MODEL);
  for (const name of names) {
    hub.files.set(name, { content: await readFile(join(MODEL, name)), isLarge: name.endsWith('.safetensors') });
  }
  hub.files.set('README.md', { content: Buffer.from('# toy'), isLarge: false });
  hub.files.set('original/params.json', { content: Buffer.from('{}'), isLarge: false });
  return names.toSorted();
}

/** How many requests for content a download made. */
async function numContents(hub: FakeHub, download: () => Promise<unknown>): Promise<number> {
  const before = hub.requests.length;
  await download();
  return hub.requests.slice(before).filter(({ method, url }) => method === 'GET' && !url.startsWith('/api/')).length;
}

async function pythonFirst(hub: FakeHub, online: Env, offline: Env): Promise<Check[]> {
  const cache = online['HF_HUB_CACHE']!;
  await python(online, 'download', FAKE_REPO, 'config.json');
  const [part] = await cria<Listed[]>(offline, 'list');
  const { path } = await python<{ path: string }>(online, 'download', FAKE_REPO);
  const found = await cria<{ path: string; parameters: number }>(offline, 'inspect', FAKE_REPO);
  const byCommit = await cria<{ path: string }>(offline, 'inspect', `${FAKE_REPO}@${FAKE_COMMIT}`);
  const listed = await cria<Listed[]>(offline, 'list');
  const scanned = await python<Scanned>(offline, 'scan');
  const again = await numContents(hub, () => cria(online, 'pull', FAKE_REPO));
  await run(process.execPath, [join(import.meta.dirname, '../bin/cria.mjs'), 'remove', FAKE_REPO], {
    env: { ...process.env, ...offline },
  });
  const left = await python<Scanned>(offline, 'scan');
  return [
    check('a configuration alone is listed as not complete', part?.complete === false, part),
    check('the same snapshot by name', found.path === path, [found.path, path]),
    check('the same snapshot by commit', byCommit.path === path, [byCommit.path, path]),
    check('it opens', found.parameters === NUM_PARAMETERS, found),
    check('listed as one complete model', listed.length === 1 && listed[0]!.complete, listed),
    check('of the same size', listed[0]?.bytes === scanned.repos[0]?.sizeBytes, [listed, scanned]),
    check('pulling it again asks for no content', again === 0, again),
    check('removed, Python finds nothing and nothing wrong', left.repos.length + left.warnings.length === 0, left),
    check(
      'nor does anything lie there',
      (await readdir(cache)).every((name) => !name.includes('model')),
      cache,
    ),
  ];
}

async function criaFirst(hub: FakeHub, files: string[], online: Env, offline: Env): Promise<Check[]> {
  const { path } = await cria<{ path: string }>(online, 'pull', FAKE_REPO);
  const read = await python<{ path: string; files: string[]; isSameByCommit: boolean; numParameters: number }>(
    offline,
    'read',
    FAKE_REPO,
    ...files,
  );
  const scanned = await python<Scanned>(offline, 'scan');
  const listed = await cria<Listed[]>(offline, 'list');
  const again = await numContents(hub, () => python(online, 'download', FAKE_REPO, ...files));
  const rest = await numContents(hub, () => python(online, 'download', FAKE_REPO));
  const [repo] = scanned.repos;
  return [
    check('the same snapshot by name', read.path === path, [read.path, path]),
    check('the same snapshot by commit', read.isSameByCommit, read),
    check(
      'all its files',
      read.files.join() === files.join(),
      read.files.map((file) => relative('', file)),
    ),
    check('Transformers loads it', read.numParameters === NUM_PARAMETERS, read),
    check('a scan finds it and nothing wrong', scanned.repos.length === 1 && scanned.warnings.length === 0, scanned),
    check('of the same size and reference', repo?.sizeBytes === listed[0]?.bytes && repo?.refs.join() === 'main', [
      scanned,
      listed,
    ]),
    check('downloading it again asks for no content', again === 0, again),
    check('downloading everything asks for what cria left out', rest === hub.files.size - files.length, rest),
  ];
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const hub = await startFakeHub();
const work = await mkdtemp(join(tmpdir(), 'cria-hub-cache-'));
try {
  const files = await serveToy(hub);
  const envs = (name: string): [Env, Env] => {
    const cache = { HF_HOME: work, HF_HUB_CACHE: join(work, name), HF_HUB_DISABLE_TELEMETRY: '1' };
    return [
      { ...cache, HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '0' },
      { ...cache, HF_ENDPOINT: NO_SERVER, HF_HUB_OFFLINE: '1' },
    ];
  };
  const after = (first: string, checks: readonly Check[]): Check[] =>
    checks.map((one) => ({ ...one, what: `${first}: ${one.what}` }));
  const checks = [
    ...after('Python, then cria', await pythonFirst(hub, ...envs('python-first'))),
    ...after('cria, then Python', await criaFirst(hub, files, ...envs('cria-first'))),
  ];
  report(values.json, checks, () =>
    checks.map(
      ({ what, holds, seen }) => `${holds ? 'yes' : 'NO '}  ${what}${holds ? '' : ` ${JSON.stringify(seen)}`}`,
    ),
  );
  if (checks.some(({ holds }) => !holds)) process.exitCode = 1;
} finally {
  await hub.close();
  await rm(work, { recursive: true });
}

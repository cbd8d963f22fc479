/**
 * What running TypeScript from its sources costs at every start (docs/decisions/0002-typescript-from-source.md): the command line through
 * tsx, and the same files translated to JavaScript beforehand.
 *
 *   npx tsx bench/start-up.ts [--rounds N] [--json]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { invariant } from '../src/util/errors.ts';
import { type Contender, interleave, renderTimings, report, type Sample } from './interleave.ts';
import { machine, renderMachine } from './machine.ts';

interface Esbuild {
  transformSync(code: string, options: { loader: 'ts'; format: 'esm' }): { code: string };
}

const ROOT = path.join(import.meta.dirname, '..');
/** What a training command loads, beside the command line itself. */
const TRAINER = 'src/train/pretrain';

/** Writes src/ as JavaScript to a folder that looks like the project. */
function translateInto(folder: string): void {
  const require = createRequire(import.meta.url);
  const esbuild = createRequire(require.resolve('tsx/package.json'))('esbuild') as Esbuild; // what tsx itself translates with
  for (const name of readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const source = readFileSync(path.join(ROOT, 'src', name), 'utf8');
    const { code } = esbuild.transformSync(source, { loader: 'ts', format: 'esm' });
    const target = path.join(folder, 'src', name.replace(/\.ts$/, '.js'));
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, code.replaceAll(/(["'])(\.[^"']*)\.ts\1/g, '$1$2.js$1'));
  }
  writeFileSync(path.join(folder, 'package.json'), readFileSync(path.join(ROOT, 'package.json')));
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
}

/** Seconds of one start of Node that imports a file; `args` come before. */
function start(args: readonly string[], modules: readonly string[], env: NodeJS.ProcessEnv = {}): Sample {
  const code = modules.map((file) => `await import(${JSON.stringify(file)});`).join('');
  const startMs = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [...args, '--input-type=module', '-e', code], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  const seconds = (performance.now() - startMs) / 1000;
  invariant(status === 0, `internal: ${modules.join(', ')} does not load: ${stderr}`);
  return { seconds };
}

/** `tsx` keeps what it translated in the folder for temporary files; an empty one makes it start anew. */
function firstStart(modules: readonly string[], temporary: string): Sample {
  const empty = mkdtempSync(path.join(temporary, 'first-'));
  return start(['--import', 'tsx'], modules, { TMPDIR: empty });
}

function files(root: string, ending: string, names: readonly string[]): string[] {
  return names.map((name) => path.join(root, `${name}${ending}`));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '9' }, json: { type: 'boolean', default: false } },
  });
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cria-start-up-'));
  try {
    translateInto(folder);
    const commandLine = ['src/cli/main'];
    const all = [...commandLine, TRAINER];
    const contenders: Contender[] = [
      { name: 'node alone', measure: () => start([], []) },
      { name: 'command line, JavaScript', measure: () => start([], files(folder, '.js', commandLine)) },
      { name: 'command line, tsx', measure: () => start(['--import', 'tsx'], files(ROOT, '.ts', commandLine)) },
      { name: 'with trainer, JavaScript', measure: () => start([], files(folder, '.js', all)) },
      { name: 'with trainer, tsx', measure: () => start(['--import', 'tsx'], files(ROOT, '.ts', all)) },
      { name: 'with trainer, tsx, first time', measure: () => firstStart(files(ROOT, '.ts', all), folder) },
    ];
    const timings = await interleave(contenders, { rounds: Number(values.rounds) });
    report(values.json, { machine: machine(), timings }, () => [renderMachine(machine()), ...renderTimings(timings)]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await main();

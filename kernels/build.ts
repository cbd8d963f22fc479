/**
 * Builds the native kernels with the system's C++ compiler: each kernel file once per instruction set, the rest once, all linked to
 * kernels/dist/cria.node. Objects are named by a hash of everything they are made from, so that a second run does nothing.
 * Runs as npm's install script: without a compiler it says so in one line and succeeds, since the reference backend then takes over.
 * `--strict` prints the compiler's messages and fails instead. CRIA_PREBUILT skips the build; CXX names the compiler.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { hashOfSources } from '../src/runtime/native-addon.ts';

const KERNELS = import.meta.dirname;
const DIST = path.join(KERNELS, 'dist');
const OBJECTS = path.join(DIST, 'objects');
const ADDON = path.join(DIST, 'cria.node');
const PARALLEL_JOBS = 2;
const STALE_AFTER_MS = 3_600_000;
const LOCK_POLL_MS = 200;

/** Compiled once; every other .cpp file is a kernel file and compiled per instruction set. */
const COMMON_SOURCES = ['binding.cpp', 'cpu.cpp', 'memory.cpp', 'pool.cpp', 'program.cpp', 'sources.cpp'];

/** Compiler flags of each instruction set, by processor. */
const ISA_FLAGS: Record<string, Record<string, readonly string[]>> = {
  x64: {
    baseline: ['-march=x86-64'],
    avx2: ['-march=x86-64-v3', '-mprfchw'],
    avx512: ['-march=x86-64-v4', '-mavx512vnni', '-mavx512bf16', '-mprfchw', '-mprefer-vector-width=512'],
  },
  other: { baseline: [] },
};

const SHARED_FLAGS = ['-std=c++17', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra'];
// No contraction into fused products: results must not depend on how a compiler arranges a loop.
// GCC's own intrinsics headers raise the two silenced warnings.
const KERNEL_FLAGS = ['-O3', '-ffp-contract=off', '-fno-math-errno', '-Wno-uninitialized', '-Wno-maybe-uninitialized'];

interface Unit {
  readonly source: string;
  readonly object: string;
  readonly flags: readonly string[];
}

const run = promisify(execFile);

/** The first compiler that answers, and what it says it is. */
function findCompiler(): { command: string; version: string } | null {
  for (const command of process.env['CXX'] ? [process.env['CXX']] : ['g++', 'c++', 'clang++']) {
    const answer = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (answer.status === 0) return { command, version: answer.stdout };
  }
  return null;
}

function hash(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}

/** The text of a file and of all it includes from this folder, each once. */
function textWithHeaders(file: string, seen = new Set<string>()): string {
  if (seen.has(file)) return '';
  seen.add(file);
  const text = readFileSync(path.join(KERNELS, file), 'utf8');
  const headers = [...text.matchAll(/^#include "(.+)"$/gm)].map((match) => match[1]!);
  return [text, ...headers.map((header) => textWithHeaders(header, seen))].join('\0');
}

/** The translation units; an object's name changes with its source, a header it includes, the flags or the compiler. */
function listUnits(compilerVersion: string): Unit[] {
  const files = readdirSync(KERNELS).toSorted();
  const { include_dir: nodeHeaders } = createRequire(import.meta.url)('node-api-headers') as { include_dir: string };
  const unit = (source: string, variant: string, flags: readonly string[]): Unit => {
    const key = hash([compilerVersion, ...flags, textWithHeaders(source)]);
    return { source, object: path.join(OBJECTS, `${path.parse(source).name}-${variant}-${key}.o`), flags };
  };
  const sourcesHash = hashOfSources(pathToFileURL(`${KERNELS}/`));
  const commonFlags = [...SHARED_FLAGS, '-O2', `-I${nodeHeaders}`];
  const units = COMMON_SOURCES.map((source) => {
    const extra = source === 'sources.cpp' ? [`-DCRIA_SOURCES_HASH="${sourcesHash}"`] : [];
    return unit(source, 'common', [...commonFlags, ...extra]);
  });
  for (const [isa, isaFlags] of Object.entries(ISA_FLAGS[process.arch] ?? ISA_FLAGS['other']!)) {
    for (const source of files.filter((file) => file.endsWith('.cpp') && !COMMON_SOURCES.includes(file)))
      units.push(unit(source, isa, [...SHARED_FLAGS, ...KERNEL_FLAGS, ...isaFlags, `-DCRIA_ISA=${isa}`]));
  }
  return units;
}

/** Runs the compiler and moves its output into place at once, so that no half-written file is ever seen. */
async function produce(compiler: string, args: readonly string[], output: string): Promise<void> {
  const unfinished = `${output}.${process.pid}`;
  await run(compiler, [...args, '-o', unfinished], { cwd: KERNELS, maxBuffer: 1 << 26 });
  renameSync(unfinished, output);
}

async function compileAll(compiler: string, units: readonly Unit[]): Promise<void> {
  const waiting = units.filter((unit) => !existsSync(unit.object));
  const worker = async (): Promise<void> => {
    for (let unit = waiting.shift(); unit; unit = waiting.shift())
      await produce(compiler, ['-c', ...unit.flags, unit.source], unit.object);
  };
  await Promise.all(Array.from({ length: PARALLEL_JOBS }, worker));
}

/** Removes objects of earlier builds, but not young ones: another build may be under way. */
function removeStale(units: readonly Unit[]): void {
  const current = new Set(units.map((unit) => path.basename(unit.object)));
  for (const file of readdirSync(OBJECTS)) {
    const object = path.join(OBJECTS, file);
    const ageMs = Date.now() - (statSync(object, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (!current.has(file) && ageMs > STALE_AFTER_MS) rmSync(object, { force: true });
  }
}

/** Holds back other builds of this folder while `work` is done; a lock whose process is gone counts for nothing. */
async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const lock = path.join(DIST, 'lock');
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch {
      if (isAbandoned(lock)) rmSync(lock, { force: true });
      else await sleep(LOCK_POLL_MS);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAbandoned(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return false;
  } catch {
    return true;
  }
}

/** Builds what is out of date; true when anything was. */
async function build(compiler: { command: string; version: string }): Promise<boolean> {
  const units = listUnits(compiler.version);
  const stamp = path.join(DIST, 'stamp');
  const key = hash(units.map((unit) => unit.object));
  if (existsSync(ADDON) && existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return false;
  await compileAll(compiler.command, units);
  const linkFlags =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-pthread'];
  await produce(compiler.command, [...linkFlags, ...units.map((unit) => unit.object)], ADDON);
  writeFileSync(stamp, key);
  removeStale(units);
  return true;
}

/** One line for people who did not ask for C++: what happens now, and how to do better. */
function explain(reason: string): void {
  console.warn(
    `cria: the native kernels were not built (${reason}); the slow reference backend will be used. ` +
      'Install a C++17 compiler (Debian and Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install) and run: npx tsx kernels/build.ts --strict',
  );
}

function firstError(error: unknown): string {
  const text = String((error as { stderr?: string }).stderr || (error as Error).message);
  return text.split('\n').find((line) => line.includes('error')) ?? text.split('\n')[0]!;
}

async function main(): Promise<void> {
  if (process.env['CRIA_PREBUILT']) return;
  const strict = process.argv.includes('--strict');
  const compiler = process.platform === 'win32' ? null : findCompiler();
  if (!compiler) {
    explain(process.platform === 'win32' ? 'Windows is not supported yet' : 'no C++ compiler was found');
    process.exitCode = strict ? 1 : 0;
    return;
  }
  const startMs = performance.now();
  try {
    mkdirSync(OBJECTS, { recursive: true });
    if (await withLock(() => build(compiler)))
      console.log(`cria: built the native kernels in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  } catch (error) {
    if (strict) console.error(String((error as { stderr?: string }).stderr ?? error));
    else explain(firstError(error));
    process.exitCode = strict ? 1 : 0;
  }
}

await main();

/**
 * The addon that kernels/build.ts makes: what it exports, loading it once, and the check that it belongs to the sources beside it. Knows
 * nothing of plans.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../util/errors.ts';
import { OPERATORS } from './native-lowering.ts';

/** Opaque to JavaScript. */
export type Handle = object;

/** Rows of f32 to or from a storage type, at a byte offset of a buffer. */
type Convert = (
  ...args: [
    team: Handle,
    values: Float32Array,
    ArrayBuffer,
    byteOffset: number,
    dtype: number,
    rows: number,
    columns: number,
  ]
) => void;

/** What kernels/binding.cpp exports. */
export interface Addon {
  sourcesHash(): string;
  supportedIsas(): string[];
  operators(): string[];
  allocate(bytes: number): ArrayBuffer | null;
  release(buffer: ArrayBuffer): void;
  createTeam(isa: string, threads: number): Handle;
  load(team: Handle, words: Float64Array): Handle;
  /** Null stands for the buffers of the last run, which must still be there. */
  run(program: Handle, buffers: readonly ArrayBuffer[] | null): Promise<void>;
  profile(team: Handle): Float64Array;
  pack: Convert;
  unpack: Convert;
  repack(
    ...args: [
      team: Handle,
      format: number,
      blocks: Uint8Array,
      firstRow: number,
      numRows: number,
      ArrayBuffer,
      dtype: number,
      rows: number,
      columns: number,
    ]
  ): void;
  map(file: number, byteOffset: number, bytes: number): ArrayBuffer | null;
  probe(team: Handle, name: string, bytes: number): Promise<number>;
}

const KERNELS = new URL('../../kernels/', import.meta.url);
const ADDON_PATH = fileURLToPath(new URL('dist/cria.node', KERNELS));

let loaded: { addon: Addon } | { reason: string } | null = null;

function load(): { addon: Addon } | { reason: string } {
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(ADDON_PATH) as Addon;
  } catch (error) {
    const cause = (error as Error).message.split('\n')[0];
    return {
      reason: `the native kernels could not be loaded (${cause}); run: npx tsx kernels/build.ts --strict`,
    };
  }
  checkAddon(addon, hashOfSources(KERNELS));
  return { addon };
}

/** Throws ConfigError for an addon of other operators than ours, or of other sources than those that hash to `sources` (null: there are none). */
export function checkAddon(addon: Partial<Addon>, sources: string | null): void {
  const isOfSources = sources === null || addon.sourcesHash?.() === sources;
  if (isOfSources && String(addon.operators?.()) === String(OPERATORS)) return;
  throw new ConfigError(
    'the native kernels were built from other sources than those of this version of cria: run "npm run install", or set CRIA_BACKEND=reference to do without them',
  );
}

/** SHA-256 over the C++ sources of a folder, names and texts; null if it holds none. */
export function hashOfSources(folder: URL): string | null {
  if (!existsSync(folder)) return null;
  const files = readdirSync(folder).filter((name) => /\.(cpp|h)$/.test(name));
  if (files.length === 0) return null;
  const hash = createHash('sha256');
  for (const name of files.toSorted()) hash.update(`${name}\0`).update(readFileSync(new URL(name, folder)));
  return hash.digest('hex');
}

/**
 * Null when the native backend can be used; otherwise one sentence that says why not and what to do. Throws ConfigError where kernels were
 * built but are out of date: that is no reason to go on slowly.
 */
export function nativeUnavailableReason(): string | null {
  loaded ??= load();
  return 'reason' in loaded ? loaded.reason : null;
}

/** The addon; throws ConfigError where it cannot be used. */
export function requireAddon(): Addon {
  loaded ??= load();
  if ('reason' in loaded) throw new ConfigError(`native backend: ${loaded.reason}`);
  return loaded.addon;
}

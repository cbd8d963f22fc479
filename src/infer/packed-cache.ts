/**
 * The cache of packed weights: next to the model, or in a cache folder where that cannot be written. Packing is done once; later starts map
 * the file. A cache that fails costs time, never a model.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Backend } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import { renderBytes } from '../runtime/available-memory.ts';
import { mapPackedFile, type PackedIdentity, writePackedFile } from './packed-file.ts';
import { sourceIdentity } from './source-identity.ts';
import type { KeptWeights } from './stored-weights.ts';
import { bytesOf } from './weight-states.ts';

/** Where packed weights may lie. */
export interface CachePlaces {
  /** Used for all models if given; else the folder of each model comes first. */
  readonly chosenFolder: string | null;
  /** For models whose folder cannot be written. */
  readonly sharedFolder: string;
  /** Weights that take less are packed anew each time, which is no slower than looking here. */
  readonly leastBytes: number;
}

const LEAST_BYTES = 2 ** 25;

/** The places that an environment asks for: CRIA_CACHE for everything, else XDG_CACHE_HOME beside the models; null if CRIA_CACHE is "off". */
export function cachePlaces(env: Readonly<Record<string, string | undefined>>): CachePlaces | null {
  const chosen = env['CRIA_CACHE'] || null;
  if (chosen === 'off') return null;
  const sharedFolder = join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'cria');
  return { chosenFolder: chosen, sharedFolder, leastBytes: LEAST_BYTES };
}

/** The cache of one checkpoint's weights in one form. */
export class PackedCache {
  readonly #identity: PackedIdentity;
  /** In the order in which they are tried. */
  readonly #paths: readonly string[];
  readonly #kept: KeptWeights;
  readonly #onNotice: (line: string) => void;

  private constructor(
    identity: PackedIdentity,
    paths: readonly string[],
    kept: KeptWeights,
    onNotice: (line: string) => void,
  ) {
    this.#identity = identity;
    this.#paths = paths;
    this.#kept = kept;
    this.#onNotice = onNotice;
  }

  /** The cache for the checkpoint at `path`; null for weights that are not worth it: few, or f32, which would fill disks with copies. */
  static async open(
    path: string,
    kept: KeptWeights,
    backend: Backend,
    places: CachePlaces,
    onNotice: (line: string) => void,
  ): Promise<PackedCache | null> {
    if (kept.form === 'f32' || backend.isa === null || bytesOf(kept.types) < places.leastBytes) return null;
    const identity = { source: await sourceIdentity(path), form: kept.form, isa: backend.isa };
    return new PackedCache(identity, await pathsFor(path, identity, places), kept, onNotice);
  }

  /** The weights as states; null if they must be packed first. */
  map(backend: Backend): StateStore | null {
    for (const path of this.#paths) {
      const result = mapPackedFile(path, this.#identity, this.#kept.types, backend);
      if ('states' in result) return result.states;
      if (result.problem === 'stale') this.#onNotice(`${path}: is damaged or of other weights; packing them again`);
    }
    return null;
  }

  /** Keeps the packed weights among `states` for the next start, in the first place that takes them. */
  async write(states: StateStore): Promise<void> {
    let reason = '';
    for (const path of this.#paths) {
      try {
        await mkdir(dirname(path), { recursive: true });
        await writePackedFile(path, this.#identity, this.#kept.types, states);
        this.#onNotice(`packed weights kept in ${path} (${renderBytes((await stat(path)).size)}) for a fast start`);
        return;
      } catch (error) {
        reason = (error as Error).message;
      }
    }
    this.#onNotice(`packed weights could not be kept for the next start (${reason})`);
  }
}

async function pathsFor(path: string, { form, isa }: PackedIdentity, places: CachePlaces): Promise<string[]> {
  const isFolder = (await stat(path)).isDirectory();
  const name = `${isFolder ? '' : `${basename(path)}.`}${form}.${isa}.panels`;
  const whole = resolve(path);
  const shared = `${sharedPrefix(whole)}${isFolder ? `${basename(whole)}.` : ''}${name}`;
  if (places.chosenFolder !== null) return [join(places.chosenFolder, shared)];
  const own = isFolder ? whole : dirname(whole);
  // Tools of the hub count and check what lies in their cache.
  const isOfHub = /[\\/]models--[^\\/]+[\\/]snapshots[\\/]/.test(`${own}/`);
  return [...(isOfHub ? [] : [join(own, '.cria', name)]), join(places.sharedFolder, shared)];
}

/** With what the names of files in a shared folder begin that belong to the checkpoint at this path. */
export function sharedPrefix(path: string): string {
  return `${createHash('sha256').update(resolve(path)).digest('hex').slice(0, 16)}.`;
}

/** Deletes what shared folders keep of the checkpoints at these paths; gives the number of files. */
export async function removeSharedPacked(
  paths: readonly string[],
  { chosenFolder, sharedFolder }: CachePlaces,
): Promise<number> {
  const prefixes = paths.map(sharedPrefix);
  const folder = chosenFolder ?? sharedFolder;
  const names = await readdir(folder).catch(() => []);
  const theirs = names.filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
  await Promise.all(theirs.map((name) => rm(join(folder, name), { force: true })));
  return theirs.length;
}

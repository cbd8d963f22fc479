/**
 * The cache folder that Hugging Face's tools share: blobs named by their hash, snapshots of links to them, refs.
 * Source: huggingface_hub docs, guides/manage-cache.
 */
import { copyFile, mkdir, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { holdsWholeModel } from './hub-files.ts';
import type { HubModelId } from './hub-id.ts';

const COMMIT = /^[0-9a-f]{40}$/;

/** Folder of one repository in the cache. */
export function repoFolder(cacheFolder: string, repo: string): string {
  return join(cacheFolder, `models--${repo.replaceAll('/', '--')}`);
}

export function blobPath(cacheFolder: string, repo: string, hash: string): string {
  return join(repoFolder(cacheFolder, repo), 'blobs', hash);
}

export function snapshotFolder(cacheFolder: string, repo: string, commit: string): string {
  return join(repoFolder(cacheFolder, repo), 'snapshots', commit);
}

/** The commit a revision stood for when it was last downloaded; null if it never was. */
export async function cachedCommit(cacheFolder: string, { repo, revision }: HubModelId): Promise<string | null> {
  if (COMMIT.test(revision)) return revision;
  const text = await readFile(join(repoFolder(cacheFolder, repo), 'refs', revision), 'utf8').catch(() => '');
  return COMMIT.test(text.trim()) ? text.trim() : null;
}

/** Remembers what a revision stands for. */
export async function rememberCommit(
  cacheFolder: string,
  { repo, revision }: HubModelId,
  commit: string,
): Promise<void> {
  if (revision === commit) return;
  const path = join(repoFolder(cacheFolder, repo), 'refs', revision);
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, (sink) => sink.write(new TextEncoder().encode(commit)));
}

/** Makes `file` of a snapshot point to its blob; copies where links cannot be made. */
export async function linkBlob(blob: string, pointer: string): Promise<void> {
  await mkdir(dirname(pointer), { recursive: true });
  if (await exists(pointer)) return;
  await rm(pointer, { force: true }); // a link whose blob was removed
  await symlink(relative(dirname(pointer), blob), pointer).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return;
    if (error.code !== 'EPERM' && error.code !== 'ENOSYS') throw error;
    await copyFile(blob, pointer);
  });
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The files of a snapshot whose content is there, sorted, with `/` on every platform. */
export async function snapshotFiles(cacheFolder: string, repo: string, commit: string): Promise<string[]> {
  const folder = snapshotFolder(cacheFolder, repo, commit);
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const found: string[] = [];
  for (const name of names.toSorted()) if (await exists(join(folder, name))) found.push(name.replaceAll('\\', '/'));
  return found;
}

export interface CachedModel {
  readonly repo: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly revisions: readonly string[];
  /** Whether weights are there, all parts of them, and no download is under way or broke off. */
  readonly isComplete: boolean;
}

/** The models in the cache, by name. */
export async function listCachedModels(cacheFolder: string): Promise<CachedModel[]> {
  const names = await readdir(cacheFolder).catch(() => []);
  const models: CachedModel[] = [];
  for (const name of names.toSorted()) {
    if (!/^models--[^-]/.test(name)) continue;
    const path = join(cacheFolder, name);
    const blobs = await readdir(join(path, 'blobs')).catch(() => []);
    let sizeBytes = 0;
    // Python's tools may keep blobs in a store that repositories share, with links to them here.
    for (const blob of blobs) sizeBytes += (await stat(join(path, 'blobs', blob)).catch(() => ({ size: 0 }))).size;
    const revisions = await readdir(join(path, 'snapshots')).catch(() => []);
    const repo = name.slice('models--'.length).replaceAll('--', '/');
    const isComplete = !hasUnfinished(blobs) && (await isWhole(cacheFolder, repo, revisions));
    models.push({ repo, path, sizeBytes, revisions, isComplete });
  }
  return models;
}

/** HASH.incomplete is ours and older Python tools', HASH.RANDOM.incomplete newer ones'; beside the whole blob it means nothing. */
function hasUnfinished(blobs: readonly string[]): boolean {
  return blobs.some((blob) => blob.endsWith('.incomplete') && !blobs.includes(blob.slice(0, blob.indexOf('.'))));
}

/** What the name of a model stands for must be whole: `main` where it is known, else any revision. */
async function isWhole(cacheFolder: string, repo: string, revisions: readonly string[]): Promise<boolean> {
  const main = await cachedCommit(cacheFolder, { repo, revision: 'main', file: null });
  for (const commit of main === null ? revisions : [main]) {
    if (holdsWholeModel(await snapshotFiles(cacheFolder, repo, commit))) return true;
  }
  return false;
}

/** Removes a model with all its revisions; false if it is not in the cache. */
export async function removeCachedModel(cacheFolder: string, repo: string): Promise<boolean> {
  const path = repoFolder(cacheFolder, repo);
  if (!(await exists(path))) return false;
  await rm(path, { recursive: true });
  await rm(join(cacheFolder, '.locks', `models--${repo.replaceAll('/', '--')}`), { recursive: true, force: true });
  return true;
}

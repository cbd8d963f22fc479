/**
 * Takes a downloaded model off this machine: its files in the hub's cache, and the packed weights that were kept of them.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes a model with all its revisions; false if it is not in `cacheFolder`, the hub's cache. */
export async function removeDownloaded(
  cacheFolder: string,
  repo: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  const [{ removeCachedModel, repoFolder }, { cachePlaces, removeSharedPacked }] = await Promise.all([
    import('../formats/hub-cache.ts'),
    import('../infer/packed-cache.ts'),
  ]);
  const checkpoints = await checkpointPaths(repoFolder(cacheFolder, repo));
  if (!(await removeCachedModel(cacheFolder, repo))) return false;
  const places = cachePlaces(env);
  if (places !== null) await removeSharedPacked(checkpoints, places);
  return true;
}

/** All that may have been loaded: each revision's folder, and the files in it. */
async function checkpointPaths(repoPath: string): Promise<string[]> {
  const snapshots = join(repoPath, 'snapshots');
  const revisions = await readdir(snapshots).catch(() => []);
  const folders = revisions.map((revision) => join(snapshots, revision));
  const files = await Promise.all(
    folders.map(async (folder) => {
      const names = await readdir(folder, { recursive: true }).catch(() => []);
      return names.map((name) => join(folder, name));
    }),
  );
  return [...folders, ...files.flat()];
}

/**
 * All-or-nothing creation of a folder: it is filled under a temporary name beside its place, then renamed.
 * A crash, but neither a failure nor Ctrl-C, leaves at most a hidden ".partial" folder, never a half-written one under the real name.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CapacityError, UsageError } from './errors.ts';
import { markUnfinished } from './unfinished-files.ts';

/** Creates folder `path` with what `produce` puts into the folder it is given; `path` must be absent or empty. */
export async function writeFolderAtomic(path: string, produce: (partial: string) => Promise<void>): Promise<void> {
  const target = resolve(path);
  await checkAbsentOrEmpty(target, path);
  await makeFolder(dirname(target));
  const partial = join(dirname(target), `.${basename(target)}.${process.pid}.${randomUUID().slice(0, 8)}.partial`);
  await mkdir(partial).catch((error: NodeJS.ErrnoException) => {
    throw Object.assign(error, { path });
  });
  const isDone = markUnfinished(partial);
  try {
    await produce(partial);
    await rmdir(target).catch(() => {}); // an empty folder of the user's
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    // The temporary name is none that a user knows.
    if (error instanceof CapacityError)
      throw new CapacityError(error.message.replaceAll(partial, path), { cause: error });
    throw error;
  } finally {
    isDone();
  }
}

/** Makes a folder and those above it; fails with the system's own reason (Node says ENOENT of a read-only file system). */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    let missing = resolve(path);
    while (!existsSync(dirname(missing))) missing = dirname(missing);
    await mkdir(missing);
    throw error;
  });
}

async function checkAbsentOrEmpty(target: string, shown: string): Promise<void> {
  const entries = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(`${shown}: cannot be used as an output folder (${error.code})`, { cause: error });
  });
  if (entries.length > 0) {
    throw new UsageError(
      `${shown}: already holds ${entries.length} files; choose a new folder or empty this one first`,
    );
  }
}

/**
 * Crash-safe file writing: bytes go to a temporary name in the same folder, are forced to disk, then renamed.
 * A reader sees the old file or the whole new one, never a part; any failure, Ctrl-C too, leaves the old file and no temporary.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CapacityError, UsageError } from './errors.ts';
import { markUnfinished } from './unfinished-files.ts';

/** Where `writeFileAtomic` lets its callback put bytes. */
export interface ByteSink {
  /** Bytes written so far through `write`. */
  readonly position: number;
  write(bytes: Uint8Array): Promise<void>;
  /** Overwrites bytes already written, for headers known only at the end. */
  writeAt(offset: number, bytes: Uint8Array): Promise<void>;
}

/** Creates or replaces `path` with what `produce` writes; on any error the previous file is untouched. */
export async function writeFileAtomic(path: string, produce: (sink: ByteSink) => Promise<void>): Promise<void> {
  if ((await stat(path).catch(() => null))?.isDirectory()) {
    throw new UsageError(`${path}: is a folder; give the name of a file`);
  }
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}.${randomUUID().slice(0, 8)}.partial`);
  const handle = await open(partial, 'wx').catch((error: unknown) => {
    throw notOpened(error, path);
  });
  const isDone = markUnfinished(partial);
  try {
    await produce(sinkOf(handle));
    await handle.sync();
    await handle.close();
    await rename(partial, path);
  } catch (error) {
    await handle.close().catch(() => {});
    await unlink(partial).catch(() => {});
    throw explained(error, path);
  } finally {
    isDone();
  }
  await syncFolder(dirname(path));
}

const MAX_WRITE_BYTES = 2 ** 26; // one system call may not take 2 GiB

function sinkOf(handle: FileHandle): ByteSink {
  let position = 0;
  async function writeAll(bytes: Uint8Array, offset: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const length = Math.min(bytes.length - done, MAX_WRITE_BYTES);
      done += (await handle.write(bytes, done, length, offset + done)).bytesWritten;
    }
  }
  return {
    get position() {
      return position;
    },
    async write(bytes) {
      await writeAll(bytes, position);
      position += bytes.length;
    },
    writeAt: (offset, bytes) => writeAll(bytes, offset),
  };
}

/** The temporary name is none that a user knows. */
function notOpened(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') {
    return new UsageError(`${path}: cannot be written, its folder does not exist; make it first`, { cause: error });
  }
  return Object.assign(error as NodeJS.ErrnoException, { path });
}

function explained(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') return error;
  return new CapacityError(
    `${path}: the disk is full (${code}); the previous file, if any, is unchanged. Free space and try again`,
    { cause: error },
  );
}

/** Makes the rename itself durable; not every platform lets a folder be opened, and then the rename is enough. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null);
  if (handle === null) return;
  await handle.sync().catch(() => {});
  await handle.close();
}

/**
 * Downloads one file into the cache: continues what a broken download left, and keeps only what has the right hash.
 * The transfer itself (ranges, redirects, Xet storage) is @huggingface/hub's.
 */
import { downloadFile } from '@huggingface/hub';
import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CapacityError, FormatError, RequestError } from '../util/errors.ts';
import { blobPath, exists } from './hub-cache.ts';
import { hubFetch, isRangeIgnored, isTransient, RangeIgnored } from './hub-fetch.ts';
import type { HubFile } from './hub-files.ts';
import type { HubSettings } from './hub-settings.ts';

export interface HubDownload {
  readonly settings: HubSettings;
  readonly repo: string;
  readonly commit: string;
  readonly file: HubFile;
  /** Told how many bytes of the file are there, often. */
  readonly onBytes: (doneBytes: number) => void;
  /** Wait before the first new try; doubles each time. */
  readonly retryDelayMs: number;
}

const MAX_FRUITLESS_TRIES = 5; // in a row without a single new byte

/** Path of the complete, verified blob. Throws a RequestError, or a FormatError if the content has another hash. */
export async function downloadBlob(download: HubDownload): Promise<string> {
  const { settings, repo, file } = download;
  const path = blobPath(settings.cacheFolder, repo, file.hash);
  if (await exists(path)) {
    download.onBytes(file.sizeBytes);
    return path;
  }
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.incomplete`; // the name older Python tools use too, which continue it
  await fetchToEnd(download, partial);
  await verify(download, partial);
  await rename(partial, path).catch(async (error: NodeJS.ErrnoException) => {
    if (!(await exists(path))) throw error; // else another process was faster
  });
  return path;
}

async function fetchToEnd(download: HubDownload, partial: string): Promise<void> {
  const { sizeBytes } = download.file;
  // Never truncated at the start: two processes that download the same file write the same bytes to the same places.
  const handle = await open(partial, constants.O_RDWR | constants.O_CREAT);
  try {
    let done = (await handle.stat()).size;
    if (done > sizeBytes) done = await restart(handle);
    for (let fruitless = 0; done < sizeBytes;) {
      const before = done;
      try {
        done = await fetchSome(download, handle, done);
      } catch (error) {
        done = isRangeIgnored(error) ? await restart(handle) : (await handle.stat()).size;
        fruitless = done > before ? 0 : fruitless + 1;
        if (!isTransient(error) || fruitless >= MAX_FRUITLESS_TRIES) throw explained(error, download);
        await sleep(download.retryDelayMs * 2 ** fruitless);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function restart(handle: FileHandle): Promise<0> {
  await handle.truncate(0);
  return 0;
}

/** Appends what the server sends from byte `from` on; returns how far it came. */
async function fetchSome(download: HubDownload, handle: FileHandle, from: number): Promise<number> {
  const { settings, repo, commit, file } = download;
  const blob = await downloadFile({
    repo,
    path: file.path,
    revision: commit,
    hubUrl: settings.endpoint,
    fetch: hubFetch(settings, repo, download.retryDelayMs),
  });
  if (blob === null) throw new RequestError(404, `${repo}: has no file ${file.path} any more`);
  if (blob.size !== file.sizeBytes) {
    throw new RequestError(502, `${repo}: ${file.path} has ${blob.size} bytes, the hub's list says ${file.sizeBytes}`);
  }
  let position = from;
  for await (const chunk of blob.slice(from).stream() as unknown as AsyncIterable<Uint8Array>) {
    if (position + chunk.length > file.sizeBytes) throw new RangeIgnored();
    await writeAll(handle, chunk, position);
    position += chunk.length;
    download.onBytes(position);
  }
  if (position < file.sizeBytes) throw new TypeError('the connection was closed early');
  return position;
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    done += (await handle.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
  }
}

function explained(error: unknown, { repo, file, settings }: HubDownload): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const problem = `${settings.cacheFolder}: the disk is full while downloading ${repo} ${file.path}`;
    return new CapacityError(`${problem}; free space and run it again, it will continue`, { cause: error });
  }
  if (!isTransient(error) || error instanceof RequestError) return error;
  const reason = typeof error === 'string' ? error : (error as Error).message;
  const problem = `${repo}: downloading ${file.path} broke off again and again (${reason})`;
  return new RequestError(503, `${problem}; run it again, it will continue where it stopped`, { cause: error });
}

async function verify({ repo, file }: HubDownload, partial: string): Promise<void> {
  const hash = hasherOf(file);
  for await (const chunk of createReadStream(partial, { highWaterMark: 2 ** 22 })) hash.update(chunk as Uint8Array);
  const found = hash.digest('hex');
  if (found === file.hash) return;
  await rm(partial);
  throw new FormatError(
    `${repo}: ${file.path} arrived with checksum ${found}, expected ${file.hash}; it was removed, run it again`,
  );
}

/** SHA-256 of the content for large files, git's object id (SHA-1 with a header) for small ones. */
function hasherOf({ hash, sizeBytes }: HubFile): Hash {
  if (hash.length === 64) return createHash('sha256');
  return createHash('sha1').update(`blob ${sizeBytes}\0`);
}

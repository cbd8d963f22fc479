/**
 * Downloads models from the Hugging Face hub into the cache that Python's tools share, and finds them there again.
 */
import { listFiles, modelInfo } from '@huggingface/hub';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { CapacityError, FormatError, RequestError } from '../util/errors.ts';
import {
  blobPath,
  cachedCommit,
  exists,
  linkBlob,
  rememberCommit,
  snapshotFiles,
  snapshotFolder,
} from './hub-cache.ts';
import { downloadBlob } from './hub-download.ts';
import { hubFetch } from './hub-fetch.ts';
import { filesOfModel, holdsWeights, isFirstGguf, type HubFile } from './hub-files.ts';
import { isSafePath, type HubModelId } from './hub-id.ts';
import type { HubSettings } from './hub-settings.ts';

export interface PullProgress {
  readonly file: string;
  /** Of all files together, those that were there already included. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface PullOptions {
  readonly settings: HubSettings;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Wait before the first new try after a failure; doubles each time. */
  readonly retryDelayMs?: number;
}

export interface PulledModel {
  /** What openCheckpoint takes: the snapshot folder, or the GGUF file in it. */
  readonly path: string;
  readonly commit: string;
  readonly files: readonly string[];
}

/**
 * Downloads what `id` needs and is not there yet; continues broken downloads, verifies every file.
 * Throws a RequestError (network, gated, unknown model), UsageError (a choice to make), FormatError (wrong checksum)
 * or CapacityError (disk).
 */
export async function pullModel(id: HubModelId, options: PullOptions): Promise<PulledModel> {
  const { settings, retryDelayMs = 1000 } = options;
  if (settings.isOffline) return offlineModel(id, settings);
  const commit = await commitOf(id, settings, retryDelayMs);
  const files = filesOfModel(id, await filesOf(id, commit, settings, retryDelayMs));
  await checkSpace(id, files, settings);
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  let doneBefore = 0;
  for (const file of files) {
    const onBytes = (bytes: number) =>
      options.onProgress?.({ file: file.path, doneBytes: doneBefore + bytes, totalBytes });
    const blob = await downloadBlob({ settings, repo: id.repo, commit, file, onBytes, retryDelayMs });
    await linkBlob(blob, join(snapshotFolder(settings.cacheFolder, id.repo, commit), file.path));
    doneBefore += file.sizeBytes;
  }
  await rememberCommit(settings.cacheFolder, id, commit);
  const names = files.map(({ path }) => path);
  return { path: modelPath(snapshotFolder(settings.cacheFolder, id.repo, commit), names), commit, files: names };
}

/** The path of a model that was pulled before, without asking the network; null if it is not in the cache. */
export async function cachedModel(id: HubModelId, settings: HubSettings): Promise<PulledModel | null> {
  const commit = await cachedCommit(settings.cacheFolder, id);
  if (commit === null) return null;
  const folder = snapshotFolder(settings.cacheFolder, id.repo, commit);
  const there = await snapshotFiles(settings.cacheFolder, id.repo, commit);
  if (id.file !== null && !there.includes(id.file)) return null;
  const isModel = id.file !== null || there.some((file) => holdsWeights(file) || isFirstGguf(file));
  return isModel ? { path: modelPath(folder, id.file === null ? there : [id.file]), commit, files: there } : null;
}

async function offlineModel(id: HubModelId, settings: HubSettings): Promise<PulledModel> {
  const found = await cachedModel(id, settings);
  if (found !== null) return found;
  throw new RequestError(
    503,
    `${id.repo} is not in ${settings.cacheFolder}, and HF_HUB_OFFLINE forbids downloading it`,
  );
}

/** A folder, unless the model is one GGUF file. */
function modelPath(folder: string, files: readonly string[]): string {
  const firsts = files.filter(isFirstGguf);
  const hasOthers = files.some(holdsWeights);
  return firsts.length !== 1 || hasOthers ? folder : join(folder, firsts[0]!);
}

async function commitOf({ repo, revision }: HubModelId, settings: HubSettings, retryDelayMs: number): Promise<string> {
  const { sha } = await modelInfo({
    name: repo,
    revision,
    additionalFields: ['sha'],
    hubUrl: settings.endpoint,
    fetch: hubFetch(settings, repo, retryDelayMs),
  });
  if (!/^[0-9a-f]{40}$/.test(sha)) throw new FormatError(`${settings.endpoint}: gives no commit for ${repo}`);
  return sha;
}

const MAX_FILES = 10_000;

async function filesOf(
  { repo }: HubModelId,
  commit: string,
  settings: HubSettings,
  retryDelayMs: number,
): Promise<HubFile[]> {
  const files: HubFile[] = [];
  const fetchFromHub = hubFetch(settings, repo, retryDelayMs);
  const entries = listFiles({
    repo,
    revision: commit,
    recursive: true,
    hubUrl: settings.endpoint,
    fetch: fetchFromHub,
  });
  for await (const { type, path, size, oid, lfs } of entries) {
    if (type !== 'file') continue;
    const hash = lfs?.oid ?? oid ?? '';
    if (!isSafePath(path) || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) || !Number.isSafeInteger(size) || size < 0) {
      throw new FormatError(
        `${settings.endpoint}: lists a file of ${repo} with a bad name, size or hash: ${path.slice(0, 100)}`,
      );
    }
    if (files.push({ path, sizeBytes: size, hash }) > MAX_FILES) {
      throw new FormatError(`${repo}: has more than ${MAX_FILES} files`);
    }
  }
  return files;
}

async function checkSpace({ repo }: HubModelId, files: readonly HubFile[], settings: HubSettings): Promise<void> {
  let missing = 0;
  for (const { hash, sizeBytes } of files) {
    if (!(await exists(blobPath(settings.cacheFolder, repo, hash)))) missing += sizeBytes;
  }
  await mkdir(settings.cacheFolder, { recursive: true });
  const { bavail, bsize } = await statfs(settings.cacheFolder);
  if (missing <= bavail * bsize) return;
  throw new CapacityError(
    `${repo} needs ${inGb(missing)} in ${settings.cacheFolder}, only ${inGb(bavail * bsize)} are free`,
  );
}

function inGb(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

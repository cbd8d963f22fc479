/**
 * Which weights a checkpoint holds, told cheaply: names, sizes and times of its files and a hash of samples of their bytes.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** One file of a checkpoint. */
export interface FileIdentity {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** SHA-256 of samples spread over the file. */
  readonly samples: string;
}

const WEIGHT_FILE = /\.(safetensors|gguf|pth|bin)$|^(config|params|model\.safetensors\.index)\.json$/;
const NUM_SAMPLES = 32;
const SAMPLE_BYTES = 4096;

/** The files of the checkpoint at `path`, a file (its further parts included) or a folder, in order of their names. */
export async function sourceIdentity(path: string): Promise<FileIdentity[]> {
  const isFolder = (await stat(path)).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const part = /^(.*)-\d{5}-of-(\d{5}\.gguf)$/.exec(basename(path));
  const isOurs = (name: string): boolean => {
    if (isFolder) return WEIGHT_FILE.test(name);
    return name === basename(path) || (part !== null && name.startsWith(part[1]!) && name.endsWith(part[2]!));
  };
  const names = (await readdir(folder)).filter(isOurs).toSorted();
  return Promise.all(names.map((name) => fileIdentity(folder, name)));
}

async function fileIdentity(folder: string, name: string): Promise<FileIdentity> {
  const handle = await open(join(folder, name), 'r');
  try {
    const { size, mtimeMs } = await handle.stat();
    return { name, sizeBytes: size, modifiedMs: mtimeMs, samples: await hashOfSamples(handle, size) };
  } finally {
    await handle.close();
  }
}

async function hashOfSamples(handle: FileHandle, size: number): Promise<string> {
  const hash = createHash('sha256');
  const sample = Buffer.alloc(SAMPLE_BYTES);
  const last = Math.max(0, size - SAMPLE_BYTES);
  for (let i = 0; i < NUM_SAMPLES; i++) {
    const { bytesRead } = await handle.read(sample, 0, SAMPLE_BYTES, Math.floor((last * i) / (NUM_SAMPLES - 1)));
    hash.update(sample.subarray(0, bytesRead));
  }
  return hash.digest('hex');
}

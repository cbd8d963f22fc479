/**
 * Opens a checkpoint of any format from its path: what lies there decides, never the name alone.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../util/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { openGgufCheckpoint } from './gguf-checkpoint.ts';
import { checkRegular } from './file-reader.ts';
import { HF_INDEX_FILE, HF_SINGLE_FILE, openHfFolder } from './hf-folder.ts';
import { isFirstGguf } from './hub-files.ts';
import { META_PARAMS_FILE, openMetaFolder } from './meta-folder.ts';

const KINDS =
  'a Hugging Face folder (config.json, model.safetensors), a Meta folder (params.json, consolidated.00.pth) or a .gguf file';

/** Opens a folder in Hugging Face's, Meta's or our own layout, or a GGUF file; throws a FormatError or ConfigError. */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const fault = error.code === 'ENOENT' ? 'does not exist' : `cannot be opened (${error.code})`;
    throw new FormatError(`${path}: ${fault}; expected ${KINDS}`, { cause: error });
  });
  if (!stats.isDirectory()) return openFile(path);
  const names = new Set(await readdir(path));
  const hasHfWeights = names.has(HF_SINGLE_FILE) || names.has(HF_INDEX_FILE);
  if (names.has('config.json') && (hasHfWeights || !names.has(META_PARAMS_FILE))) return openHfFolder(path);
  if (names.has(META_PARAMS_FILE)) return openMetaFolder(path);
  return openOnlyGguf(path, names);
}

async function openFile(path: string): Promise<Checkpoint> {
  await checkRegular(path);
  const handle = await open(path, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0).finally(() => handle.close());
  if (buffer.toString('latin1', 0, bytesRead) === 'GGUF') return openGgufCheckpoint(path);
  if (bytesRead === 0) throw new FormatError(`${path}: is empty; fetch it again`);
  const isPart = /\.(safetensors|pth|json)$/.test(path);
  throw new FormatError(
    `${path}: is no GGUF file; ${isPart ? 'give the folder it lies in' : 'expected'} ${isPart ? `(${KINDS})` : KINDS}`,
  );
}

/** A folder downloaded from a GGUF repository holds one file, or the numbered parts of one. */
async function openOnlyGguf(path: string, names: ReadonlySet<string>): Promise<Checkpoint> {
  const files = [...names].filter(isFirstGguf);
  if (files.length === 1) return openGgufCheckpoint(join(path, files[0]!));
  if (files.length > 1)
    throw new FormatError(`${path}: holds ${files.length} GGUF files, name one of: ${files.toSorted().join(', ')}`);
  const weights = [...names].find((name) => /\.(safetensors|pth|bin)$/.test(name));
  const fault = weights === undefined ? 'holds no model' : `holds ${weights}, but no configuration beside it`;
  throw new FormatError(`${path}: ${fault}; expected ${KINDS}`);
}

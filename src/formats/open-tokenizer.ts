/**
 * Opens a tokenizer from wherever one lies: a folder, one of its files, a training run, or a GGUF file, of which only the header is read.
 */
import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readGgufTokenizer } from '../tokenizer/gguf-vocab.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { CriaError, FormatError } from '../util/errors.ts';
import { openGguf } from './gguf.ts';
import { isFirstGguf } from './hub-files.ts';
import { loadTokenizerFile, loadTokenizerFolder, standsForFolder } from './tokenizer-files.ts';

/** Opens the tokenizer at `path`; throws a FormatError that names it if there is none. */
export async function openTokenizer(path: string): Promise<Tokenizer> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new FormatError(`${path}: does not exist; give a folder that holds a tokenizer`);
  if (path.endsWith('.gguf') && !stats.isDirectory()) return openGgufTokenizer(path);
  if (!stats.isDirectory() && !standsForFolder(basename(path))) return loadTokenizerFile(path);
  const folder = stats.isDirectory() ? path : dirname(path);
  const inRun = join(folder, 'tokenizer');
  if (existsSync(join(inRun, 'tokenizer.model'))) return loadTokenizerFolder(inRun);
  const names = await readdir(folder);
  const ggufFiles = names.filter(isFirstGguf);
  const holdsTokenizer = names.some((name) => name === 'tokenizer.json' || name === 'tokenizer.model');
  if (!holdsTokenizer && ggufFiles.length === 1) return openGgufTokenizer(join(folder, ggufFiles[0]!));
  return loadTokenizerFolder(folder);
}

async function openGgufTokenizer(path: string): Promise<Tokenizer> {
  const file = await openGguf(path);
  try {
    return ggufTokenizer(path, (key) => file.metadata.get(key)?.value);
  } finally {
    await file.close();
  }
}

/** The tokenizer in the metadata of the GGUF file `path`; throws a FormatError that names the file. */
export function ggufTokenizer(path: string, valueOf: (key: string) => unknown): Tokenizer {
  try {
    return readGgufTokenizer(valueOf);
  } catch (cause) {
    if (cause instanceof CriaError && cause.code !== 'E_INTERNAL')
      throw new FormatError(`${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

/**
 * Reads and writes the tokenizer files of a model folder. What they mean is known to src/tokenizer/ only.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readMetaTokenizer, readTiktoken, writeTiktoken } from '../tokenizer/tiktoken-file.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError } from '../util/errors.ts';

const TIKTOKEN_FILE = 'tokenizer.model';
const SPECIAL_TOKENS_FILE = 'special_tokens.json';

/**
 * Tokenizer of a folder that holds `tokenizer.model` in tiktoken's format, with `special_tokens.json` beside it or,
 * for Meta's own file, with the special tokens of Llama 3.1 (of 3.0 if `params.json` does not scale the rotary embedding).
 */
export async function loadTokenizerFolder(folder: string): Promise<Tokenizer> {
  const modelFile = await readIfThere(join(folder, TIKTOKEN_FILE));
  if (modelFile === null) {
    throw new FormatError(`No ${TIKTOKEN_FILE} in ${folder}; give a folder that holds a tokenizer.`);
  }
  try {
    const specialTokens = await readIfThere(join(folder, SPECIAL_TOKENS_FILE));
    if (specialTokens !== null) return readTiktoken(modelFile, specialTokens.toString('utf8'));
    const params = await readIfThere(join(folder, 'params.json'));
    const isFirstGeneration = params !== null && !/"use_scaled_rope"\s*:\s*true/.test(params.toString('utf8'));
    return readMetaTokenizer(modelFile, isFirstGeneration ? '3.0' : '3.1');
  } catch (cause) {
    if (cause instanceof FormatError) throw new FormatError(`${folder}: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Writes `tokenizer.model` and `special_tokens.json` into `folder`, which is made if need be. */
export async function saveTokenizerFolder(folder: string, tokenizer: Tokenizer): Promise<void> {
  const { modelFile, specialTokensJson } = writeTiktoken(tokenizer);
  await mkdir(folder, { recursive: true });
  await writeAtomically(join(folder, TIKTOKEN_FILE), modelFile);
  await writeAtomically(join(folder, SPECIAL_TOKENS_FILE), specialTokensJson);
}

async function writeAtomically(path: string, contents: Uint8Array | string): Promise<void> {
  const unfinished = `${path}.part`;
  await writeFile(unfinished, contents);
  await rename(unfinished, path);
}

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new FormatError(`Cannot read ${path}: ${(cause as Error).message}.`, { cause });
  }
}

/**
 * Reads and writes the tokenizer files of a model folder. What they mean is known to src/tokenizer/ only.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readHfTokenizer } from '../tokenizer/hf-read.ts';
import { writeHfTokenizer, type HfWriteOptions } from '../tokenizer/hf-write.ts';
import { readMetaTokenizer, readTiktoken, writeTiktoken } from '../tokenizer/tiktoken-file.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { writeFileAtomic } from '../util/atomic-file.ts';
import { makeFolder } from '../util/atomic-folder.ts';
import { CriaError, FormatError } from '../util/errors.ts';
import { runBounded } from './run-bounded.ts';

const TIKTOKEN_FILE = 'tokenizer.model';
const SPECIAL_TOKENS_FILE = 'special_tokens.json';
const HF_FILE = 'tokenizer.json';
const HF_CONFIG_FILE = 'tokenizer_config.json';
const HF_NAMES_FILE = 'special_tokens_map.json';

/** The largest published tokenizer.json has 35 MB. */
const MAX_FILE_BYTES = 2 ** 28;

/**
 * Tokenizer of a folder: cria's own files (`tokenizer.model` with `special_tokens.json`), else Hugging Face's `tokenizer.json`
 * with its companions, else Meta's `tokenizer.model` with the special tokens of Llama 3.1 (of 3.0 if `params.json` does not
 * scale the rotary embedding).
 */
export async function loadTokenizerFolder(folder: string): Promise<Tokenizer> {
  const read = (name: string) => readIfThere(join(folder, name));
  try {
    const specialTokens = await read(SPECIAL_TOKENS_FILE);
    const tokenizerJson = specialTokens === null ? await read(HF_FILE) : null;
    if (tokenizerJson !== null) return await loadHfFolder(tokenizerJson.toString('utf8'), read);
    const modelFile = await read(TIKTOKEN_FILE);
    if (modelFile === null) {
      throw new FormatError(`there is no ${HF_FILE} or ${TIKTOKEN_FILE}; give a folder that holds a tokenizer.`);
    }
    if (specialTokens !== null) return readTiktoken(modelFile, specialTokens.toString('utf8'));
    const params = await read('params.json');
    const isFirstGeneration = params !== null && !/"use_scaled_rope"\s*:\s*true/.test(params.toString('utf8'));
    return readMetaTokenizer(modelFile, isFirstGeneration ? '3.0' : '3.1');
  } catch (cause) {
    if (cause instanceof CriaError) throw new FormatError(`${folder}: ${cause.message}`, { cause });
    throw cause;
  }
}

// What lies in a model folder under a name of its own; the tokenizer of such a folder is more than the one file.
const FOLDER_FILE =
  /^(tokenizer\.(json|model)|(tokenizer_config|special_tokens|special_tokens_map|config|generation_config|params)\.json)$|\.(safetensors|pth|bin|index\.json)$/;

/** Whether a file of this name stands for the folder that it lies in, rather than for a tokenizer of its own. */
export function standsForFolder(name: string): boolean {
  return FOLDER_FILE.test(name);
}

/** Tokenizer of a single file under a name of its own: a `tokenizer.json`, or the ranks that Meta ships with Llama 3.1. */
export async function loadTokenizerFile(path: string): Promise<Tokenizer> {
  try {
    const bytes = (await readIfThere(path)) ?? new Uint8Array(0);
    const isJson = /^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'));
    if (!isJson) return readMetaTokenizer(bytes);
    return await loadHfFolder(Buffer.from(bytes).toString('utf8'), () => Promise.resolve(null));
  } catch (cause) {
    if (cause instanceof CriaError) throw new FormatError(`${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

async function loadHfFolder(tokenizerJson: string, read: (name: string) => Promise<Buffer | null>): Promise<Tokenizer> {
  const text = async (name: string) => (await read(name))?.toString('utf8') ?? null;
  return readHfTokenizer({
    tokenizerJson,
    tokenizerConfigJson: await text(HF_CONFIG_FILE),
    specialTokensMapJson: await text(HF_NAMES_FILE),
    generationConfigJson: await text('generation_config.json'),
    runBounded,
  });
}

/** Writes `tokenizer.model` and `special_tokens.json` into `folder`, which is made if need be. */
export async function saveTokenizerFolder(folder: string, tokenizer: Tokenizer): Promise<void> {
  const { modelFile, specialTokensJson } = writeTiktoken(tokenizer);
  await makeFolder(folder);
  await writeAtomically(join(folder, TIKTOKEN_FILE), modelFile);
  await writeAtomically(join(folder, SPECIAL_TOKENS_FILE), specialTokensJson);
}

/** Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `folder`, which is made if need be. */
export async function saveHfTokenizerFolder(
  folder: string,
  tokenizer: Tokenizer,
  options: HfWriteOptions = {},
): Promise<void> {
  const files = writeHfTokenizer(tokenizer, options);
  await makeFolder(folder);
  await writeAtomically(join(folder, HF_FILE), files.tokenizerJson);
  await writeAtomically(join(folder, HF_CONFIG_FILE), files.tokenizerConfigJson);
  await writeAtomically(join(folder, HF_NAMES_FILE), files.specialTokensMapJson);
}

function writeAtomically(path: string, contents: Uint8Array | string): Promise<void> {
  return writeFileAtomic(path, (sink) => sink.write(Buffer.from(contents)));
}

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new FormatError(`${path} has ${size} bytes, more than any tokenizer file.`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof CriaError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new FormatError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
  }
}

/**
 * Carries the tokenizer of a checkpoint over to another format: copied where the format is the same, else rewritten.
 * What tokenizer files mean is known to src/tokenizer/ only.
 */
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeGgufTokenizer } from '../tokenizer/gguf-vocab.ts';
import { writeHfTokenizer } from '../tokenizer/hf-write.ts';
import { writeTiktoken } from '../tokenizer/tiktoken-file.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { ConfigError, FormatError } from '../util/errors.ts';
import { readBoundedJsonFile } from './bounded-json.ts';
import type { Checkpoint, CheckpointFormat } from './checkpoint.ts';
import { FileReader } from './file-reader.ts';
import type { GgufCheckpoint } from './gguf-checkpoint.ts';
import type { GgufValue } from './gguf-header.ts';
import { ggufTokenizer } from './open-tokenizer.ts';
import { loadTokenizerFolder, saveTokenizerFolder } from './tokenizer-files.ts';

const HF_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
];
const META_FILES = ['tokenizer.model', 'special_tokens.json', 'tokenizer.json', 'tokenizer_config.json'];
const META_FORMATS: ReadonlySet<CheckpointFormat> = new Set(['meta', 'cria']);

/** The tokenizer that lies with a checkpoint, or null if there is none. */
export async function checkpointTokenizer(checkpoint: Checkpoint): Promise<Tokenizer | null> {
  if (checkpoint.format === 'gguf') {
    if (checkpoint.metadata['tokenizer.ggml.model'] === undefined) return null;
    return ggufTokenizer(checkpoint.path, (key) => checkpoint.metadata[key]);
  }
  const names = new Set(await readdir(checkpoint.path));
  if (!names.has('tokenizer.json') && !names.has('tokenizer.model')) return null;
  return loadTokenizerFolder(checkpoint.path);
}

/** Whether tokenizer files are taken over as they are, without being understood. */
export function isTokenizerCopied(from: CheckpointFormat, to: CheckpointFormat): boolean {
  return from === to || (META_FORMATS.has(from) && META_FORMATS.has(to));
}

/** Copies the tokenizer files of `checkpoint` into a folder of a format with the same files; false if there are none. */
export async function copyFolderTokenizer(checkpoint: Checkpoint, folder: string): Promise<boolean> {
  const names = checkpoint.format === 'hf' ? HF_FILES : META_FILES;
  const there = new Set(await readdir(checkpoint.path));
  const found = names.filter((name) => there.has(name));
  for (const name of found) await copyFile(join(checkpoint.path, name), join(folder, name));
  return found.length > 0;
}

/** Writes the tokenizer of `checkpoint` into a folder of the given format. */
export async function writeFolderTokenizer(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  format: CheckpointFormat,
  folder: string,
): Promise<void> {
  if (format === 'hf' || !isTiktoken(tokenizer)) {
    const chatTemplate = await chatTemplateOf(checkpoint);
    const files = writeHfTokenizer(tokenizer, { chatTemplate, maxLength: checkpoint.config.maxSeqLen });
    await writeFile(join(folder, 'tokenizer.json'), files.tokenizerJson);
    await writeFile(join(folder, 'tokenizer_config.json'), files.tokenizerConfigJson);
    await writeFile(join(folder, 'special_tokens_map.json'), files.specialTokensMapJson);
  } else await saveTokenizerFolder(folder, tokenizer);
}

/** Whether the file of Meta's folders can hold this tokenizer; Hugging Face's files hold any. */
function isTiktoken(tokenizer: Tokenizer): boolean {
  try {
    writeTiktoken(tokenizer);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

/** The metadata under `tokenizer.` of a GGUF checkpoint, as it is. */
export function copiedTokenizerMetadata({ typedMetadata }: GgufCheckpoint): Map<string, GgufValue> {
  return new Map([...typedMetadata].filter(([key]) => key.startsWith('tokenizer.')));
}

/** Metadata under `tokenizer.` for a GGUF file with the embedding table of `checkpoint`. */
export async function ggufTokenizerMetadata(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
): Promise<Map<string, GgufValue>> {
  const { config, path } = checkpoint;
  return typedTokenizerMetadata(tokenizer, await chatTemplateOf(checkpoint), { vocabSize: config.vocabSize, path });
}

/** Metadata under `tokenizer.` as GGUF files hold it, with as many tokens as the table of `model`, if there is one, has rows. */
export function typedTokenizerMetadata(
  tokenizer: Tokenizer,
  chatTemplate: string | null,
  model: { readonly vocabSize: number; readonly path: string } = { vocabSize: tokenizer.vocabSize, path: '' },
): Map<string, GgufValue> {
  const entries = [...writeGgufTokenizer(tokenizer, chatTemplate)];
  return new Map(entries.map(([key, value]) => [key, typedValue(padded(key, value, model.vocabSize, model.path))]));
}

type TokenizerValue = string | number | boolean | readonly string[] | Int32Array | Float32Array;

const UNUSED_TOKEN = 5; // llama.cpp LLAMA_TOKEN_TYPE_UNUSED

/** llama.cpp wants as many tokens as the embedding table has rows; some models have rows to spare. */
function padded(key: string, value: TokenizerValue, vocabSize: number, path: string): TokenizerValue {
  if (!['tokenizer.ggml.tokens', 'tokenizer.ggml.token_type', 'tokenizer.ggml.scores'].includes(key)) return value;
  const list = value as readonly string[] | Int32Array | Float32Array;
  if (list.length > vocabSize) {
    throw new FormatError(
      `${path}: the tokenizer has ${list.length} tokens, the model ${vocabSize}; they do not belong together`,
    );
  }
  const missing = Array.from({ length: vocabSize - list.length }, (_, i) => list.length + i);
  if (list instanceof Int32Array) return Int32Array.of(...list, ...missing.map(() => UNUSED_TOKEN));
  if (list instanceof Float32Array) return Float32Array.from([...list, ...missing.map(() => 0)]);
  return [...list, ...missing.map((id) => `[PAD${id}]`)];
}

function typedValue(value: TokenizerValue): GgufValue {
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value === 'number') return { type: 'uint32', value };
  if (typeof value === 'boolean') return { type: 'bool', value };
  if (value instanceof Int32Array) return { type: 'array', elementType: 'int32', value: [...value] };
  if (value instanceof Float32Array) return { type: 'array', elementType: 'float32', value: [...value] };
  return { type: 'array', elementType: 'string', value };
}

const MAX_TEMPLATE_BYTES = 2 ** 20;
const CONFIG_BOUNDS = { maxDepth: 32, maxItems: 1_000_000 };
const MAX_CONFIG_BYTES = 2 ** 26;

const templateSchema = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish()
    .catch(null),
});

/** The Jinja chat template that lies with a checkpoint, or null. */
export async function chatTemplateOf(checkpoint: Checkpoint): Promise<string | null> {
  if (checkpoint.format === 'gguf') {
    const template = checkpoint.metadata['tokenizer.chat_template'];
    return typeof template === 'string' ? template : null;
  }
  const names = new Set(await readdir(checkpoint.path));
  if (names.has('chat_template.jinja')) {
    const reader = await FileReader.open(join(checkpoint.path, 'chat_template.jinja'));
    const bytes = reader.size <= MAX_TEMPLATE_BYTES ? await reader.read(0, reader.size) : null;
    await reader.close();
    return bytes === null ? null : new TextDecoder().decode(bytes);
  }
  if (!names.has('tokenizer_config.json')) return null;
  const json = await readBoundedJsonFile(
    join(checkpoint.path, 'tokenizer_config.json'),
    CONFIG_BOUNDS,
    MAX_CONFIG_BYTES,
  );
  const { chat_template: template } = templateSchema.catch({ chat_template: null }).parse(json);
  if (typeof template === 'string') return template;
  return template?.find(({ name }) => name === 'default')?.template ?? null;
}

/**
 * Converts a checkpoint of any format to any other, tensor by tensor: a few megabytes are in memory, never a model.
 */
import { basename, resolve } from 'node:path';
import { llamaWeightShapes } from '../model/config.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { UsageError } from '../util/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import {
  checkpointTokenizer,
  copiedTokenizerMetadata,
  copyFolderTokenizer,
  ggufTokenizerMetadata,
  isTokenizerCopied,
  writeFolderTokenizer,
} from './convert-tokenizer.ts';
import { encodeFromF32 } from './encode-f32.ts';
import { encodePool } from './encode-pool.ts';
import { decodeToF32 } from './decode-f32.ts';
import type { GgufCheckpoint } from './gguf-checkpoint.ts';
import type { GgufValue } from './gguf-header.ts';
import { GGUF_TYPE_ROWS, type GgufTypeName } from './gguf-types.ts';
import { writeGgufModel } from './gguf-model-write.ts';
import type { TokenIds } from './hf-config.ts';
import { writeHfFolder } from './hf-write.ts';
import { writeCriaFolder, writeMetaFolder } from './meta-write.ts';
import { isPlainDType, STORED_DTYPES, type PlainDType } from './stored-dtype.ts';
import { readTensorF32, tensorInfo, type TensorSource } from './tensor-source.ts';

export const CONVERT_FORMATS = ['hf', 'gguf', 'meta', 'cria'] as const;
export type ConvertFormat = (typeof CONVERT_FORMATS)[number];

export interface ConvertOptions {
  readonly to: ConvertFormat;
  /** f32, f16, bf16, or for GGUF any of llama.cpp's types; null keeps the type of the source. */
  readonly type: string | null;
  /** Told as each tensor is read: its name, and how many of how many bytes of the source are done. */
  readonly onProgress?: (name: string, doneBytes: number, totalBytes: number) => void;
}

export interface ConvertResult {
  /** The type that was written, as options name it. */
  readonly type: string;
  readonly hasTokenizer: boolean;
}

const FOLDER_TYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const satisfies Record<string, PlainDType>;

/** Writes `checkpoint` to `out` (a file for GGUF, else a folder); throws a UsageError for types the format cannot hold. */
export async function convertCheckpoint(
  checkpoint: Checkpoint,
  out: string,
  options: ConvertOptions,
): Promise<ConvertResult> {
  const type = chosenType(checkpoint, options);
  const isCopied = isTokenizerCopied(checkpoint.format, options.to);
  const tokenizer = isCopied ? null : await checkpointTokenizer(checkpoint);
  const weights = watched(checkpoint.weights, options.onProgress ?? (() => {}));
  const model = { config: checkpoint.config, weights, tokenIds: tokenIdsOf(checkpoint, tokenizer) };
  if (options.to === 'gguf') {
    const metadata = await ggufMetadata(checkpoint, tokenizer);
    const pool = encodePool();
    try {
      await writeGgufModel(out, model, { type: type as GgufTypeName, metadata, encode: pool.encode });
    } finally {
      await pool.close();
    }
    return { type, hasTokenizer: metadata.has('tokenizer.ggml.model') };
  }
  const format = options.to;
  let hasTokenizer = tokenizer !== null;
  const dtypes = await folderTypes(checkpoint, FOLDER_TYPES[type as keyof typeof FOLDER_TYPES], options.type === null);
  const dtypeOf = (name: string) => dtypes.get(name)!;
  const addFiles = async (folder: string) => {
    if (isCopied) hasTokenizer = await copyFolderTokenizer(checkpoint, folder);
    else if (tokenizer !== null) await writeFolderTokenizer(checkpoint, tokenizer, format, folder);
  };
  await FOLDER_WRITERS[format](out, model, { dtypeOf, addFiles });
  return { type, hasTokenizer };
}

const FOLDER_WRITERS = { hf: writeHfFolder, meta: writeMetaFolder, cria: writeCriaFolder };

/** The wished type, or the source's own: that of its first projection; quantised weights become float32. */
function chosenType(checkpoint: Checkpoint, { to, type }: ConvertOptions): string {
  const known = to === 'gguf' ? Object.keys(GGUF_TYPE_ROWS) : Object.keys(FOLDER_TYPES);
  if (type !== null) {
    if (known.includes(type)) return type;
    throw new UsageError(`${to} cannot be written as ${type.slice(0, 20)}; choose one of: ${known.join(', ')}`);
  }
  const { dtype } = tensorInfo(checkpoint.weights, 'layers.0.attention.wq.weight');
  return dtype === 'BF16' ? 'bf16' : dtype === 'F16' ? 'f16' : 'f32';
}

/** The type of each weight in a folder. If the source's type is kept, single weights that it cannot hold stay float32. */
async function folderTypes(
  checkpoint: Checkpoint,
  wished: PlainDType,
  isKept: boolean,
): Promise<ReadonlyMap<string, PlainDType>> {
  const dtypes = new Map<string, PlainDType>();
  for (const name of llamaWeightShapes(checkpoint.config).keys()) {
    const isExact = !isKept || (await canHold(checkpoint.weights, name, wished));
    dtypes.set(name, isExact ? wished : 'F32');
  }
  return dtypes;
}

/** GGUF files store norms as float32 beside matrices of another type; most fit back into that type exactly. */
async function canHold(weights: TensorSource, name: string, dtype: PlainDType): Promise<boolean> {
  const info = tensorInfo(weights, name);
  if (dtype === 'F32' || info.dtype === dtype) return true;
  if (!isPlainDType(info.dtype) || info.shape.length > 1) return false;
  const values = await readTensorF32(weights, name);
  const bytes = new Uint8Array(values.length * STORED_DTYPES[dtype].blockBytes);
  const again = new Float32Array(values.length);
  encodeFromF32(dtype, values, bytes);
  decodeToF32(dtype, bytes, again);
  return again.every((value, i) => Object.is(value, values[i]));
}

function tokenIdsOf({ format, tokenIds }: Checkpoint, tokenizer: Tokenizer | null): TokenIds {
  // A GGUF file names one end token and leaves the others to be known by their text.
  const known = tokenIds.eosIds.length === 0 || format === 'gguf' ? (tokenizer?.stopIds ?? []) : [];
  return {
    bosId: tokenIds.bosId ?? tokenizer?.bosId ?? null,
    eosIds: [...new Set([...tokenIds.eosIds, ...known])],
    padId: tokenIds.padId ?? tokenizer?.padId ?? null,
  };
}

// Set anew for every file, because they follow from the model or from how it is stored.
const OWN_GENERAL_KEYS = new Set(
  ['architecture', 'file_type', 'quantization_version', 'alignment'].map((key) => `general.${key}`),
);

async function ggufMetadata(checkpoint: Checkpoint, tokenizer: Tokenizer | null): Promise<Map<string, GgufValue>> {
  const name = basename(resolve(checkpoint.path));
  const metadata = new Map<string, GgufValue>([['general.name', { type: 'string', value: name }]]);
  const additions: Iterable<readonly [string, GgufValue]>[] = [];
  if (isGguf(checkpoint)) {
    additions.push(
      [...checkpoint.typedMetadata].filter(([key]) => key.startsWith('general.') && !OWN_GENERAL_KEYS.has(key)),
    );
    additions.push(copiedTokenizerMetadata(checkpoint));
  } else if (tokenizer !== null) additions.push(await ggufTokenizerMetadata(checkpoint, tokenizer));
  for (const entries of additions) for (const [key, value] of entries) metadata.set(key, value);
  return metadata;
}

function isGguf(checkpoint: Checkpoint): checkpoint is GgufCheckpoint {
  return checkpoint.format === 'gguf';
}

function watched(source: TensorSource, report: NonNullable<ConvertOptions['onProgress']>): TensorSource {
  const totalBytes = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  let doneBytes = 0;
  return {
    path: source.path,
    tensors: source.tensors,
    close: () => source.close(),
    async readRows(name, firstRow, target) {
      await source.readRows(name, firstRow, target);
      doneBytes += target.length;
      report(name, Math.min(doneBytes, totalBytes), totalBytes);
    },
  };
}

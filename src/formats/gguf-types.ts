/**
 * Which stored type each weight of a GGUF file gets: the named types and mixes of llama.cpp, with its fallbacks.
 * Source: llama.cpp src/llama-quant.cpp (`llama_tensor_get_type`), include/llama.h (`llama_ftype` numbers).
 */
import type { LlamaConfig } from '../model/config.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

interface GgufTypeRow {
  /** `general.file_type`. */
  readonly fileType: number;
  readonly base: StoredDType;
  /** Layers chosen by `isMore` get this type for wv and w2; null keeps the base. */
  readonly more: StoredDType | null;
  /** The small mixes use `more` in the first layers only. */
  readonly isMore: 'some' | 'first' | null;
}

const ROWS = {
  f32: { fileType: 0, base: 'F32', more: null, isMore: null },
  f16: { fileType: 1, base: 'F16', more: null, isMore: null },
  bf16: { fileType: 32, base: 'BF16', more: null, isMore: null },
  q8_0: { fileType: 7, base: 'Q8_0', more: null, isMore: null },
  q4_0: { fileType: 2, base: 'Q4_0', more: null, isMore: null },
  q4_1: { fileType: 3, base: 'Q4_1', more: null, isMore: null },
  q5_0: { fileType: 8, base: 'Q5_0', more: null, isMore: null },
  q5_1: { fileType: 9, base: 'Q5_1', more: null, isMore: null },
  q4_k_s: { fileType: 14, base: 'Q4_K', more: 'Q5_K', isMore: 'first' },
  q4_k_m: { fileType: 15, base: 'Q4_K', more: 'Q6_K', isMore: 'some' },
  q5_k_s: { fileType: 16, base: 'Q5_K', more: null, isMore: null },
  q5_k_m: { fileType: 17, base: 'Q5_K', more: 'Q6_K', isMore: 'some' },
  q6_k: { fileType: 18, base: 'Q6_K', more: null, isMore: null },
} as const satisfies Record<string, GgufTypeRow>;

/** Names of the types a GGUF file can be written in, as llama.cpp calls them in lower case. */
export type GgufTypeName = keyof typeof ROWS;

export const GGUF_TYPE_ROWS: Readonly<Record<GgufTypeName, GgufTypeRow>> = ROWS;

/** Where blocks of 256 do not fill the rows: the nearest type of blocks of 32. */
const FALLBACKS: Readonly<Partial<Record<StoredDType, StoredDType>>> = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' };

/** The stored type of weight `name` (Meta's) with rows of `rowLength` values. */
export function ggufTensorType(type: GgufTypeName, name: string, rowLength: number, config: LlamaConfig): StoredDType {
  if (name.endsWith('norm.weight')) return 'F32'; // llama.cpp multiplies by norms in float32 only
  const wished = wishedType(GGUF_TYPE_ROWS[type], name, config);
  if (rowLength % STORED_DTYPES[wished].blockSize === 0) return wished;
  const fallback = FALLBACKS[wished] ?? 'F16';
  return rowLength % STORED_DTYPES[fallback].blockSize === 0 ? fallback : 'F16';
}

function wishedType(row: GgufTypeRow, name: string, config: LlamaConfig): StoredDType {
  const isQuantised = STORED_DTYPES[row.base].blockSize > 1;
  const isOutput = name === 'output.weight' || (config.tiedEmbeddings && name === 'tok_embeddings.weight');
  if (isOutput) return isQuantised && row.base !== 'Q8_0' ? 'Q6_K' : row.base;
  const layer = Number(/^layers\.(\d+)\./.exec(name)?.[1] ?? Number.NaN);
  if (row.more === null || Number.isNaN(layer)) return row.base;
  const isValue = name.endsWith('.wv.weight');
  if (!isValue && !name.endsWith('.w2.weight')) return row.base;
  if (row.isMore === 'some') return usesMoreBits(layer, config.numLayers) ? row.more : row.base;
  return layer < (isValue ? 4 : Math.floor(config.numLayers / 8)) ? row.more : row.base;
}

/** The first and last eighth of the layers, and every third between. */
function usesMoreBits(layer: number, numLayers: number): boolean {
  const eighth = Math.floor(numLayers / 8);
  return layer < eighth || layer >= Math.floor((7 * numLayers) / 8) || (layer - eighth) % 3 === 2;
}

/**
 * How tensors lie in files: plain element types (safetensors' names) and ggml's block types, with their sizes.
 * Sources: huggingface/safetensors README; ggml/src/ggml-common.h (block structs) and include/ggml.h (type numbers).
 */
import { FormatError } from '../util/errors.ts';

interface StoredDTypeRow {
  /** Elements per block; 1 for plain types. */
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Number in GGUF tensor tables; null where GGUF has no such type. */
  readonly ggmlType: number | null;
}

const ROWS = {
  F64: { blockSize: 1, blockBytes: 8, ggmlType: 28 },
  F32: { blockSize: 1, blockBytes: 4, ggmlType: 0 },
  F16: { blockSize: 1, blockBytes: 2, ggmlType: 1 },
  BF16: { blockSize: 1, blockBytes: 2, ggmlType: 30 },
  I64: { blockSize: 1, blockBytes: 8, ggmlType: 27 },
  I32: { blockSize: 1, blockBytes: 4, ggmlType: 26 },
  I16: { blockSize: 1, blockBytes: 2, ggmlType: 25 },
  I8: { blockSize: 1, blockBytes: 1, ggmlType: 24 },
  U32: { blockSize: 1, blockBytes: 4, ggmlType: null },
  U16: { blockSize: 1, blockBytes: 2, ggmlType: null },
  U8: { blockSize: 1, blockBytes: 1, ggmlType: null },
  BOOL: { blockSize: 1, blockBytes: 1, ggmlType: null },
  Q4_0: { blockSize: 32, blockBytes: 18, ggmlType: 2 },
  Q4_1: { blockSize: 32, blockBytes: 20, ggmlType: 3 },
  Q5_0: { blockSize: 32, blockBytes: 22, ggmlType: 6 },
  Q5_1: { blockSize: 32, blockBytes: 24, ggmlType: 7 },
  Q8_0: { blockSize: 32, blockBytes: 34, ggmlType: 8 },
  Q2_K: { blockSize: 256, blockBytes: 84, ggmlType: 10 },
  Q3_K: { blockSize: 256, blockBytes: 110, ggmlType: 11 },
  Q4_K: { blockSize: 256, blockBytes: 144, ggmlType: 12 },
  Q5_K: { blockSize: 256, blockBytes: 176, ggmlType: 13 },
  Q6_K: { blockSize: 256, blockBytes: 210, ggmlType: 14 },
  IQ4_NL: { blockSize: 32, blockBytes: 18, ggmlType: 20 },
  IQ4_XS: { blockSize: 256, blockBytes: 136, ggmlType: 23 },
} as const satisfies Record<string, StoredDTypeRow>;

export type StoredDType = keyof typeof ROWS;

/** Plain element types, the ones a safetensors file can hold. */
export type PlainDType = Exclude<StoredDType, `Q${string}` | `IQ${string}`>;

export const STORED_DTYPES: Readonly<Record<StoredDType, StoredDTypeRow>> = ROWS;

/** Whether `name` is a plain element type. */
export function isPlainDType(name: string): name is PlainDType {
  return Object.hasOwn(ROWS, name) && STORED_DTYPES[name as StoredDType].blockSize === 1;
}

/** Product of the dimensions; throws a FormatError (prefixed with `where`) if a dimension is bad or it overflows. */
export function elementCount(shape: readonly number[], where: string): number {
  let count = 1;
  let largest = 1; // without the zeros, so that [2^60, 0] is refused too
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) throw new FormatError(`${where}: bad dimension ${size}`);
    count *= size;
    if (size > 0) largest *= size;
    if (!Number.isSafeInteger(largest)) throw new FormatError(`${where}: shape [${shape}] is too large`);
  }
  return count;
}

/** Bytes a tensor takes in a file; block types quantise along the last dimension, which must hold whole blocks. */
export function storedBytes(dtype: StoredDType, shape: readonly number[], where: string): number {
  const { blockSize, blockBytes } = STORED_DTYPES[dtype];
  const count = elementCount(shape, where);
  if ((shape.at(-1) ?? 1) % blockSize !== 0) {
    throw new FormatError(`${where}: rows of ${shape.at(-1)} values do not fill ${dtype} blocks of ${blockSize}`);
  }
  const bytes = (count / blockSize) * blockBytes;
  if (!Number.isSafeInteger(bytes)) throw new FormatError(`${where}: shape [${shape}] is too large`);
  return bytes;
}

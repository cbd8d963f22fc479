/**
 * One stored tensor as a stream of byte chunks in another type: rows are read, converted and handed on,
 * so that no step of a conversion holds a whole large tensor.
 */
import { FormatError } from '../util/errors.ts';
import { decodeToF32 } from './decode-f32.ts';
import { encodeFromF32 } from './encode-f32.ts';
import { STORED_DTYPES, storedBytes, type StoredDType } from './stored-dtype.ts';
import { quoted, rowLayout, tensorInfo, type TensorSource } from './tensor-source.ts';

const CHUNK_BYTES = 2 ** 24; // of the source; the result and a float32 copy come on top

/** encodeFromF32, or the same on several threads. */
export type Encode = (dtype: StoredDType, values: Float32Array, target: Uint8Array) => void | Promise<void>;

/** Yields the tensor's bytes as `dtype`, whole rows at a time; a chunk is valid until the next one is pulled. */
export async function* streamTensor(
  source: TensorSource,
  name: string,
  dtype: StoredDType,
  encode: Encode = encodeFromF32,
): AsyncGenerator<Uint8Array> {
  const info = tensorInfo(source, name);
  const { numRows, rowBytes } = rowLayout(info);
  if (info.byteLength === 0) return;
  const rowValues = (rowBytes / STORED_DTYPES[info.dtype].blockBytes) * STORED_DTYPES[info.dtype].blockSize;
  const rowsAtOnce = Math.max(1, Math.min(numRows, Math.floor(CHUNK_BYTES / rowBytes)));
  const read = new Uint8Array(rowsAtOnce * rowBytes);
  const isSame = dtype === info.dtype;
  const values = new Float32Array(isSame ? 0 : rowsAtOnce * rowValues);
  const outRowBytes = storedBytes(dtype, [rowValues], `${source.path}: tensor "${name}"`);
  const converted = new Uint8Array(isSame ? 0 : rowsAtOnce * outRowBytes);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    const bytes = read.subarray(0, rows * rowBytes);
    await source.readRows(name, row, bytes);
    if (isSame) {
      yield bytes;
      continue;
    }
    const wide = values.subarray(0, rows * rowValues);
    const out = converted.subarray(0, rows * outRowBytes);
    decodeToF32(info.dtype, bytes, wide);
    if (STORED_DTYPES[dtype].blockSize > 1) checkQuantisable(wide, `${source.path}: tensor ${quoted(name)}`);
    await encode(dtype, wide, out);
    yield out;
  }
}

// The scale of a block is a half, and the largest level of a block is at least 7.
const MAX_QUANTISABLE = 65_504 * 7;

function checkQuantisable(values: Float32Array, where: string): void {
  for (const value of values) {
    if (Math.abs(value) <= MAX_QUANTISABLE) continue;
    throw new FormatError(`${where}: holds ${value} and cannot be quantised; convert to f32 instead`);
  }
}

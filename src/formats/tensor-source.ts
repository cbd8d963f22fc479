/**
 * The one view of stored tensors that every format offers: a table of names, and rows read on demand.
 * Knows no format and no model; nothing here holds more than the rows asked for.
 *
 * A row is everything under one index of the first dimension; a tensor of rank 0 or 1 is a single row.
 */
import { FormatError, invariant } from '../util/errors.ts';
import { decodeToF32 } from './decode-f32.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';

export interface TensorInfo {
  readonly dtype: StoredDType;
  /** Rows = outputs first, as PyTorch prints it (GGUF stores the reverse). */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Where the bytes lie contiguously, for memory mapping; null if they must be assembled. */
  readonly location: { readonly path: string; readonly byteOffset: number } | null;
}

export interface TensorSource {
  /** File or folder, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Fills `target` with the stored bytes of whole rows from `firstRow` on. */
  readRows(name: string, firstRow: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** The table entry of `name`; a FormatError if there is none. */
export function tensorInfo(source: TensorSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (info === undefined) throw new FormatError(`${source.path}: has no tensor ${quoted(name)}`);
  return info;
}

/** Number of rows and bytes per row of a stored tensor. */
export function rowLayout(info: TensorInfo): { readonly numRows: number; readonly rowBytes: number } {
  const numRows = info.shape.length < 2 ? 1 : info.shape[0]!;
  return { numRows, rowBytes: numRows === 0 ? 0 : info.byteLength / numRows };
}

/** Byte range [offset, offset + target.length) of the tensor that whole rows from `firstRow` on cover, checked. */
export function rowOffset(info: TensorInfo, firstRow: number, target: Uint8Array): number {
  const { numRows, rowBytes } = rowLayout(info);
  const offset = firstRow * rowBytes;
  invariant(
    rowBytes === 0 ? target.length === 0 : target.length % rowBytes === 0,
    `internal: ${target.length} bytes are no whole rows of ${rowBytes}`,
  );
  invariant(firstRow >= 0 && firstRow <= numRows && offset + target.length <= info.byteLength, 'internal: row range');
  return offset;
}

/** The stored bytes of one whole tensor, in fresh memory. */
export async function readTensorBytes(source: TensorSource, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const target = new Uint8Array(tensorInfo(source, name).byteLength);
  await source.readRows(name, 0, target);
  return target;
}

// Stored bytes decoded at a time, so that widening a large tensor needs little beside the result.
const DECODE_CHUNK_BYTES = 2 ** 24;

/** One whole tensor as float32, dequantised if needed, into `target` or fresh memory; integers become their values. */
export async function readTensorF32(source: TensorSource, name: string, target?: Float32Array): Promise<Float32Array> {
  const info = tensorInfo(source, name);
  const { numRows, rowBytes } = rowLayout(info);
  const count = (info.byteLength / STORED_DTYPES[info.dtype].blockBytes) * STORED_DTYPES[info.dtype].blockSize;
  const result = target ?? new Float32Array(count);
  invariant(result.length === count, `internal: ${name} has ${count} values, the target ${result.length}`);
  if (count === 0) return result;
  const rowValues = count / numRows;
  const rowsAtOnce = Math.max(1, Math.min(numRows, Math.floor(DECODE_CHUNK_BYTES / rowBytes)));
  const chunk = new Uint8Array(rowsAtOnce * rowBytes);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    const bytes = chunk.subarray(0, rows * rowBytes);
    await source.readRows(name, row, bytes);
    decodeToF32(info.dtype, bytes, result.subarray(row * rowValues, (row + rows) * rowValues));
  }
  return result;
}

/** A name from a file, shortened and quoted for a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
}

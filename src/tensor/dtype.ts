/**
 * Element types of tensors and what they cost in bytes.
 * A `panel_*` type is a weight matrix [out, in] in the layout the backend multiplies fastest (16 output rows side by side);
 * its values are those of the type after the underscore.
 */
import { invariant } from '../util/errors.ts';

export type PlainDType = 'f32' | 'bf16' | 'f16' | 'i32';
/** Panels of small integers with a scale per 32 columns: signed 8 or 4 bits, 4 bits with a minimum, and the blocks of GGUF's Q4_K. */
export type QuantisedDType = 'panel_q8' | 'panel_q4' | 'panel_q4_min' | 'panel_q4_k';
/** Rows of signed bytes, for keys and values: blocks of 32 columns of a row with a scale each. */
export type RowDType = 'row_q8';
export type DType = PlainDType | RowDType | 'panel_f32' | 'panel_bf16' | QuantisedDType;
export type Shape = readonly number[];

/** Output rows that lie side by side in a panel. */
export const PANEL_ROWS = 16;

/** Columns of a row that share a scale, and the bytes of such a block (kernels/row-q8.h). */
export const ROW_BLOCK = { columns: 32, bytes: 34 } as const;

const BYTES_PER_VALUE: Record<Exclude<DType, QuantisedDType | RowDType>, number> = {
  f32: 4,
  bf16: 2,
  f16: 2,
  i32: 4,
  panel_f32: 4,
  panel_bf16: 2,
};

/** Columns and bytes of one block of 16 rows (kernels/quantised.h). */
const QUANTISED_BLOCKS: Record<QuantisedDType, { readonly columns: number; readonly bytes: number }> = {
  panel_q8: { columns: 32, bytes: 544 },
  panel_q4: { columns: 32, bytes: 288 },
  panel_q4_min: { columns: 32, bytes: 320 },
  panel_q4_k: { columns: 256, bytes: 2368 },
};

export const quantisedDTypes = Object.keys(QUANTISED_BLOCKS) as readonly QuantisedDType[];

/** True for the panels of small integers. */
export function isQuantised(dtype: DType): dtype is QuantisedDType {
  return Object.hasOwn(QUANTISED_BLOCKS, dtype);
}

/** True for the packed weight layouts. */
export function isPanel(dtype: DType): boolean {
  return dtype.startsWith('panel_');
}

/** Number of values in a tensor of this shape; 1 for a scalar `[]`. */
export function numValues(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes that a tensor takes; panels round the rows up to whole panels and the columns of bf16 up to pairs. */
export function byteLength(dtype: DType, shape: Shape): number {
  if (dtype === 'row_q8')
    return numValues(shape.slice(0, -1)) * Math.ceil(shape.at(-1)! / ROW_BLOCK.columns) * ROW_BLOCK.bytes;
  if (!isPanel(dtype)) return numValues(shape) * BYTES_PER_VALUE[dtype as PlainDType];
  invariant(shape.length === 2, `internal: a ${dtype} tensor is a matrix, got [${shape.join(', ')}]`);
  const [rows, columns] = shape as [number, number];
  if (isQuantised(dtype)) {
    const block = QUANTISED_BLOCKS[dtype];
    return Math.ceil(rows / PANEL_ROWS) * Math.ceil(columns / block.columns) * block.bytes;
  }
  const pairedColumns = dtype === 'panel_bf16' ? Math.ceil(columns / 2) * 2 : columns;
  return (
    Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS * pairedColumns * BYTES_PER_VALUE[dtype as 'panel_f32' | 'panel_bf16']
  );
}

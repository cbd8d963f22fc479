/**
 * Element types of tensors and what they cost in bytes.
 * A `panel_*` type is a weight matrix [out, in] in the layout the backend multiplies fastest (16 output rows side by side);
 * its values are those of the type after the underscore.
 */
import { invariant } from '../util/errors.ts';

export type DType = 'f32' | 'bf16' | 'f16' | 'i32' | 'panel_f32' | 'panel_bf16';
export type Shape = readonly number[];

/** Output rows that lie side by side in a panel. */
export const PANEL_ROWS = 16;

const BYTES_PER_VALUE: Record<DType, number> = { f32: 4, bf16: 2, f16: 2, i32: 4, panel_f32: 4, panel_bf16: 2 };

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
  if (!isPanel(dtype)) return numValues(shape) * BYTES_PER_VALUE[dtype];
  invariant(shape.length === 2, `internal: a ${dtype} tensor is a matrix, got [${shape.join(', ')}]`);
  const [rows, columns] = shape as [number, number];
  const pairedColumns = dtype === 'panel_bf16' ? Math.ceil(columns / 2) * 2 : columns;
  return Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS * pairedColumns * BYTES_PER_VALUE[dtype];
}

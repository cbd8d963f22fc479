/**
 * What a reference kernel is: the values of its operands as typed arrays, one number per value whatever the type, and how values are
 * rounded to the types that are narrower than the array. The arrays are Float64Array in exact mode, where nothing is ever rounded,
 * Float32Array otherwise.
 */
import { type DType, isQuantised, ROW_BLOCK, type Shape } from '../../tensor/dtype.ts';
import type { OpAttrs, OpName } from '../../tensor/operators.ts';
import { bf16ToF32, f32ToBf16 } from '../../util/bfloat16.ts';
import { invariant } from '../../util/errors.ts';
import { f16ToF32, f32ToF16, float16Bits, float16Value } from '../../util/float16.ts';

export type Floats = Float32Array | Float64Array;

/** An operand as kernels see it. Rows of a panel type are plain rows here. */
export interface View {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly values: Floats | Int32Array;
}

export interface Call<K extends OpName> {
  readonly attrs: OpAttrs[K];
  readonly inputs: readonly (View | null)[];
  readonly outputs: readonly View[];
}

/** Long kernels are generators that yield about every millisecond, so that the event loop gets its turn. */
export type ReferenceKernel<K extends OpName> = (call: Call<K>) => Generator<void> | void;

/** The values of a floating operand. */
export function floats(view: View | null | undefined): Floats {
  invariant(view && !(view.values instanceof Int32Array), 'internal: a kernel expected a floating operand');
  return view.values;
}

/** The values of an optional floating operand; null when it is absent. */
export function floatsOrNull(view: View | null | undefined): Floats | null {
  return view ? floats(view) : null;
}

/** The values of an i32 operand. */
export function ints(view: View | null | undefined): Int32Array {
  invariant(view && view.values instanceof Int32Array, 'internal: a kernel expected an i32 operand');
  return view.values;
}

/** The sizes of a matrix operand. */
export function sizes(view: View | null | undefined): readonly [number, number] {
  invariant(view && view.shape.length === 2, 'internal: a kernel expected a matrix');
  return view.shape as readonly [number, number];
}

/** `index`, after a check that it lies in [0, size): data may be wrong, and a typed array would silently give undefined. */
export function inRange(index: number, size: number, what: string): number {
  invariant(index >= 0 && index < size, `internal: ${what} ${index} is outside [0, ${size})`);
  return index;
}

/** A zeroed array of the same kind as `values`. */
export function zerosLike(values: Floats, length: number): Floats {
  return values instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);
}

/** Rounds a row to signed bytes times an f16 scale per block (kernels/row-q8.h). */
function roundRow(row: Float32Array): void {
  const { fround } = Math;
  for (let start = 0; start < row.length; start += ROW_BLOCK.columns) {
    const block = row.subarray(start, start + ROW_BLOCK.columns);
    const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = float16Value(float16Bits(fround(largest / 127)));
    const inverse = scale > 0 ? fround(1 / scale) : 0;
    for (const [i, value] of block.entries()) {
      const bounded = Math.min(127, Math.max(-127, fround(value * inverse)));
      block[i] = scale * fround(fround(bounded + ROUNDER) - ROUNDER);
    }
  }
}

/** 1.5 * 2^23: adding it to a small f32 leaves the nearest integer, ties to even. */
const ROUNDER = 12582912;
const ROUNDING_CHUNK = 4096;
const halves = new Uint16Array(ROUNDING_CHUNK);

/**
 * Rounds all values in place to the nearest that `dtype` holds, ties to even; leaves exact mode (Float64Array) alone, and quantised types: who
 * writes them here has chosen their values. Blocks of 8-bit rows begin anew after every `rowLength` values.
 */
export function roundTo(dtype: DType, values: Floats | Int32Array, rowLength: number = values.length): void {
  if (!(values instanceof Float32Array) || dtype === 'f32' || dtype === 'panel_f32' || isQuantised(dtype)) return;
  if (dtype === 'row_q8') {
    for (let row = 0; row < values.length; row += rowLength) roundRow(values.subarray(row, row + rowLength));
    return;
  }
  for (let start = 0; start < values.length; start += ROUNDING_CHUNK) {
    const chunk = values.subarray(start, start + ROUNDING_CHUNK);
    const bits = halves.subarray(0, chunk.length);
    if (dtype === 'f16') {
      f32ToF16(chunk, bits);
      f16ToF32(bits, chunk);
    } else {
      f32ToBf16(chunk, bits);
      bf16ToF32(bits, chunk);
    }
  }
}

/**
 * Matrix products. Every transposition is reduced to rows times rows (a [M, K] and b [N, K], as a weight lies in memory); every
 * element of a result is one sum in double precision over k in order, whatever is computed beside it.
 */
import { isQuantised } from '../../tensor/dtype.ts';
import {
  type Floats,
  floats,
  floatsOrNull,
  type ReferenceKernel,
  roundTo,
  sizes,
  type View,
  zerosLike,
} from './kernel.ts';
import type { ProductPrecision } from '../../tensor/operators.ts';

/** out [rows, columns] = addend + a [rows, depth] times b [columns, depth] transposed; `addend` may be `out` itself. */
export interface Product {
  readonly a: Floats;
  readonly b: Floats;
  readonly addend: Floats | null;
  readonly out: Floats;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

export const matmul: ReferenceKernel<'matmul'> = ({ attrs, inputs, outputs }) => {
  const [rows, columns] = sizes(outputs[0]);
  return multiply({
    a: operand(inputs[0], attrs.transposeA, attrs.precision),
    b: operand(inputs[1], !attrs.transposeB, attrs.precision),
    addend: floatsOrNull(inputs[2]),
    out: floats(outputs[0]),
    rows,
    columns,
    depth: sizes(inputs[0])[attrs.transposeA ? 0 : 1],
  });
};

/** The values of a matrix, transposed on request, rounded as products of that precision round them; copied only if need be. */
export function operand(view: View | null | undefined, transposed: boolean, precision: ProductPrecision): Floats {
  const [rows, columns] = sizes(view);
  const values = floats(view);
  const rounds = precision === 'bf16' && values instanceof Float32Array && !view!.dtype.endsWith('bf16');
  const quantises = precision === 'int8' && values instanceof Float32Array && !isQuantised(view!.dtype);
  if (quantises) return quantiseRows(values, columns);
  if (!transposed && !rounds) return values;
  const copy = transposed ? transpose(values, rows, columns) : values.slice();
  if (rounds) roundTo('bf16', copy);
  return copy;
}

const QUANT_BLOCK = 32;

/** A copy with each row's blocks of 32 columns rounded to multiples of a 127th of their largest magnitude, as the kernels round. */
function quantiseRows(values: Float32Array, columns: number): Float32Array {
  const rounded = values.slice();
  for (let row = 0; row < values.length; row += columns) {
    for (let first = row; first < row + columns; first += QUANT_BLOCK) {
      const block = rounded.subarray(first, Math.min(first + QUANT_BLOCK, row + columns));
      const scale = Math.fround(block.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 127);
      const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
      for (const [i, value] of block.entries()) block[i] = scale * roundHalfEven(Math.fround(value * inverse));
    }
  }
  return rounded;
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** [rows, columns] to [columns, rows]. */
export function transpose(values: Floats, rows: number, columns: number): Floats {
  const turned = zerosLike(values, values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) turned[column * rows + row] = values[row * columns + column]!;
  }
  return turned;
}

const ROWS_PER_TILE = 32;
const MOST_COLUMNS_PER_TILE = 256;
const MULTIPLICATIONS_PER_TILE = 2 ** 20; // well under a millisecond; a tile of b stays in the cache

/** The sums of one tile. The loops write here alone: V8 makes one fast version of them, whatever `out` and `addend` are. */
const sums = new Float64Array(ROWS_PER_TILE * MOST_COLUMNS_PER_TILE);

/** Computes a product, yielding after each tile. */
export function* multiply(product: Product): Generator<void> {
  const { a, b, rows, columns, depth } = product;
  const wanted = Math.floor(MULTIPLICATIONS_PER_TILE / (ROWS_PER_TILE * Math.max(1, depth)) / 4) * 4;
  const tileColumns = Math.max(4, Math.min(wanted, MOST_COLUMNS_PER_TILE));
  for (let column = 0; column < columns; column += tileColumns) {
    for (let row = 0; row < rows; row += ROWS_PER_TILE) {
      const tileRows = Math.min(ROWS_PER_TILE, rows - row);
      const width = Math.min(tileColumns, columns - column);
      multiplyTile(a, row * depth, b, column * depth, depth, tileRows, width);
      storeTile(product, row, tileRows, column, width);
      yield;
    }
  }
}

/** sums [rows, width] = rows of a from aStart on times rows of b from bStart on. */
function multiplyTile(
  a: Floats,
  aStart: number,
  b: Floats,
  bStart: number,
  depth: number,
  rows: number,
  width: number,
): void {
  const quads = width - (width % 4);
  for (let n = 0; n < quads; n += 4) {
    const b0 = bStart + n * depth;
    let m = 0;
    for (; m + 2 <= rows; m += 2) twoByFour(a, aStart + m * depth, b, b0, depth, m * width + n, width);
    if (m < rows) oneByFour(a, aStart + m * depth, b, b0, depth, m * width + n);
  }
  for (let n = quads; n < width; n++) {
    for (let m = 0; m < rows; m++) {
      sums[m * width + n] = oneByOne(a, aStart + m * depth, b, bStart + n * depth, depth);
    }
  }
}

function storeTile({ addend, out, columns }: Product, row: number, rows: number, column: number, width: number): void {
  for (let m = 0; m < rows; m++) {
    const start = (row + m) * columns + column;
    if (addend) for (let n = 0; n < width; n++) out[start + n] = addend[start + n]! + sums[m * width + n]!;
    else for (let n = 0; n < width; n++) out[start + n] = sums[m * width + n]!;
  }
}

// Two rows by four columns is what V8 keeps in registers: 4 GFLOP/s on a core where one by one gives 1.
function twoByFour(a: Floats, a0: number, b: Floats, b0: number, depth: number, place: number, width: number): void {
  const a1 = a0 + depth;
  const b1 = b0 + depth;
  const b2 = b1 + depth;
  const b3 = b2 + depth;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  for (let k = 0; k < depth; k++) {
    const x = a[a0 + k]!;
    const y = a[a1 + k]!;
    const w0 = b[b0 + k]!;
    const w1 = b[b1 + k]!;
    const w2 = b[b2 + k]!;
    const w3 = b[b3 + k]!;
    s00 += x * w0;
    s01 += x * w1;
    s02 += x * w2;
    s03 += x * w3;
    s10 += y * w0;
    s11 += y * w1;
    s12 += y * w2;
    s13 += y * w3;
  }
  store4(place, s00, s01, s02, s03);
  store4(place + width, s10, s11, s12, s13);
}

function oneByFour(a: Floats, a0: number, b: Floats, b0: number, depth: number, place: number): void {
  const b1 = b0 + depth;
  const b2 = b1 + depth;
  const b3 = b2 + depth;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let k = 0; k < depth; k++) {
    const x = a[a0 + k]!;
    s0 += x * b[b0 + k]!;
    s1 += x * b[b1 + k]!;
    s2 += x * b[b2 + k]!;
    s3 += x * b[b3 + k]!;
  }
  store4(place, s0, s1, s2, s3);
}

function oneByOne(a: Floats, a0: number, b: Floats, b0: number, depth: number): number {
  let sum = 0;
  for (let k = 0; k < depth; k++) sum += a[a0 + k]! * b[b0 + k]!;
  return sum;
}

function store4(place: number, s0: number, s1: number, s2: number, s3: number): void {
  sums[place] = s0;
  sums[place + 1] = s1;
  sums[place + 2] = s2;
  sums[place + 3] = s3;
}

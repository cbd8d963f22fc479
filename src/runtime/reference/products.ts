/**
 * Matrix products. Every transposition is reduced to rows times rows (a [M, K] and b [N, K], as a weight lies in memory); every
 * element of a result is one sum in double precision over k in order, whatever is computed beside it.
 */
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
import type { Precision } from '../../tensor/operators.ts';

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
export function operand(view: View | null | undefined, transposed: boolean, precision: Precision): Floats {
  const [rows, columns] = sizes(view);
  const values = floats(view);
  const rounds = precision === 'bf16' && values instanceof Float32Array && !view!.dtype.endsWith('bf16');
  if (!transposed && !rounds) return values;
  const copy = transposed ? transpose(values, rows, columns) : values.slice();
  if (rounds) roundTo('bf16', copy);
  return copy;
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
const MULTIPLICATIONS_PER_TILE = 2 ** 20; // well under a millisecond; a tile of b stays in the cache

/** Computes a product, yielding after each tile. */
export function* multiply(product: Product): Generator<void> {
  const { rows, columns, depth } = product;
  const tileColumns = Math.max(1, Math.floor(MULTIPLICATIONS_PER_TILE / (ROWS_PER_TILE * Math.max(1, depth)) / 4)) * 4;
  for (let column = 0; column < columns; column += tileColumns) {
    for (let row = 0; row < rows; row += ROWS_PER_TILE) {
      multiplyTile(product, row, Math.min(rows, row + ROWS_PER_TILE), column, Math.min(columns, column + tileColumns));
      yield;
    }
  }
}

function multiplyTile(product: Product, row: number, rowEnd: number, column: number, columnEnd: number): void {
  for (let n = column; n < columnEnd; n += 4) {
    if (n + 4 > columnEnd) {
      for (; n < columnEnd; n++) for (let m = row; m < rowEnd; m++) oneByOne(product, m, n);
      return;
    }
    let m = row;
    for (; m + 2 <= rowEnd; m += 2) twoByFour(product, m, n);
    if (m < rowEnd) oneByFour(product, m, n);
  }
}

// Two rows by four columns is what V8 keeps in registers: 4 GFLOP/s on a core where one by one gives 1.
function twoByFour({ a, b, addend, out, columns, depth }: Product, m: number, n: number): void {
  const a0 = m * depth;
  const a1 = a0 + depth;
  const b0 = n * depth;
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
  store4(out, addend, m * columns + n, s00, s01, s02, s03);
  store4(out, addend, (m + 1) * columns + n, s10, s11, s12, s13);
}

function oneByFour({ a, b, addend, out, columns, depth }: Product, m: number, n: number): void {
  const a0 = m * depth;
  const b0 = n * depth;
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
  store4(out, addend, m * columns + n, s0, s1, s2, s3);
}

function oneByOne({ a, b, addend, out, columns, depth }: Product, m: number, n: number): void {
  let sum = 0;
  for (let k = 0; k < depth; k++) sum += a[m * depth + k]! * b[n * depth + k]!;
  const c = m * columns + n;
  out[c] = addend ? addend[c]! + sum : sum;
}

function store4(out: Floats, addend: Floats | null, c: number, s0: number, s1: number, s2: number, s3: number): void {
  out[c] = addend ? addend[c]! + s0 : s0;
  out[c + 1] = addend ? addend[c + 1]! + s1 : s1;
  out[c + 2] = addend ? addend[c + 2]! + s2 : s2;
  out[c + 3] = addend ? addend[c + 3]! + s3 : s3;
}

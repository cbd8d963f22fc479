/**
 * Products that are large in one direction, against plain float64 sums: more columns than a chunk, deeper than a window, more rows than a
 * block, for every instruction set and number of threads. What the sizes mean is in kernels/matrix-product.cpp.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, type Given, randomTensor } from '../../test/support.ts';
import { type DType, isPanel } from '../tensor/dtype.ts';
import type { FloatType, Precision } from '../tensor/operators.ts';
import { matmul } from '../tensor/ops.ts';
import { bf16ToF32, f32ToBf16 } from '../util/bfloat16.ts';
import type { Backend, Values } from './backend.ts';
import { createNativeBackend, supportedIsas } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';

interface Product {
  readonly size: readonly [rows: number, columns: number, depth: number];
  readonly a: FloatType;
  readonly b: DType;
  readonly precision: Precision;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly addend: boolean;
  readonly out: FloatType;
}

const forward = { a: 'f32', b: 'f32', precision: 'f32', transposeA: false, transposeB: true, addend: false, out: 'f32' } as const; // prettier-ignore
const weightGradient = { ...forward, transposeA: true, transposeB: false, addend: true } as const;

const PRODUCTS: readonly Product[] = [
  { ...forward, size: [1, 33, 2100] },
  { ...forward, size: [5, 1040, 65] },
  { ...forward, size: [150, 40, 2100], addend: true },
  { ...forward, size: [19, 17, 1100], b: 'panel_f32', addend: true },
  { ...forward, size: [300, 1021, 31], b: 'panel_f32' },
  { ...forward, size: [1, 1021, 90], b: 'panel_bf16', precision: 'bf16' },
  { ...forward, size: [140, 1021, 51], b: 'panel_bf16', precision: 'bf16', out: 'bf16' },
  { ...forward, size: [37, 47, 4099], b: 'panel_bf16', precision: 'bf16', out: 'bf16' },
  { ...forward, size: [135, 50, 2051], transposeB: false, a: 'bf16', precision: 'bf16', out: 'bf16' },
  { ...weightGradient, size: [50, 49, 2050] },
  { ...weightGradient, size: [2070, 19, 33], addend: false },
  { ...weightGradient, size: [49, 1030, 21], a: 'bf16', b: 'bf16', precision: 'bf16' },
  { ...weightGradient, size: [33, 50, 4101], a: 'bf16', b: 'bf16', precision: 'bf16' },
];

// Sums of n products of standard normal values, each step rounded to f32; a result kept in bf16 is rounded once more.
const ERROR_PER_ROOT_DEPTH = 2e-6;
const BF16_ROUNDING = 2 ** -8;
/** Of larger results only a part is summed again. */
const MOST_CHECKED = 2000;

function tensorsOf({ size, a, b, transposeA, transposeB, addend }: Product): Record<string, Given> {
  const [rows, columns, depth] = size;
  return {
    a: randomTensor('a', a, transposeA ? [depth, rows] : [rows, depth]),
    b: randomTensor('b', b, transposeB ? [columns, depth] : [depth, columns], isPanel(b)),
    ...(addend && { c: randomTensor('c', 'f32', [rows, columns]) }),
  };
}

function run(backend: Backend, { precision, transposeA, transposeB, out }: Product, tensors: Record<string, Given>) {
  return evaluate(backend, tensors, ({ a, b, c }) => ({
    y: matmul(a!, b!, { precision, transposeA, transposeB, out, addend: c ?? null }),
  }));
}

/** The values a product in this precision starts from. */
function rounded(tensor: Given, precision: Precision): Float32Array {
  const values = Float32Array.from(tensor.values);
  if (precision === 'f32' && !tensor.dtype.endsWith('bf16')) return values;
  const halves = new Uint16Array(values.length);
  f32ToBf16(values, halves);
  bf16ToF32(halves, values);
  return values;
}

function assertIsProduct(actual: Values, product: Product, tensors: Record<string, Given>): void {
  const [rows, columns, depth] = product.size;
  const [a, b] = [rounded(tensors['a']!, product.precision), rounded(tensors['b']!, product.precision)];
  const stride = Math.max(1, Math.floor((rows * columns) / MOST_CHECKED));
  for (let i = 0; i < rows * columns; i += stride) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = tensors['c'] ? Math.fround(tensors['c'].values[i]!) : 0;
    for (let k = 0; k < depth; k++) {
      const left = a[product.transposeA ? k * rows + row : row * depth + k]!;
      sum += left * b[product.transposeB ? column * depth + k : k * columns + column]!;
    }
    const tolerance = ERROR_PER_ROOT_DEPTH * depth + (product.out === 'bf16' ? BF16_ROUNDING * Math.abs(sum) : 0);
    assert.ok(Math.abs(actual[i]! - sum) <= tolerance, `[${row}, ${column}] is ${actual[i]}, not ${sum}`);
  }
}

const skip = nativeUnavailableReason() ?? false;

describe('products that are large in one direction', { skip }, () => {
  for (const isa of skip ? [] : supportedIsas()) {
    const [one, two] = [1, 2].map((threads) => createNativeBackend({ isa, threads }));
    it(`${isa}: are the sums they stand for, with the same bits for one thread and two`, async () => {
      for (const product of PRODUCTS) {
        const tensors = tensorsOf(product);
        const { y } = await run(two!, product, tensors);
        assertIsProduct(y!, product, tensors);
        assert.deepEqual((await run(one!, product, tensors))['y'], y);
      }
    });

    it(`${isa}: give a row the same bits alone and among others, however deep they are`, async () => {
      for (const product of PRODUCTS.filter(({ transposeA }) => !transposeA)) {
        const tensors = tensorsOf(product);
        const [rows, columns, depth] = product.size;
        const { y } = await run(two!, product, tensors);
        const row = rows - 1;
        const alone = Object.entries(tensors).map(([name, tensor]) => {
          const width = { a: depth, c: columns }[name];
          if (!width) return [name, tensor] as const;
          const values = Array.from(tensor.values).slice(row * width, (row + 1) * width);
          return [name, { ...tensor, shape: [1, width], values }] as const;
        });
        const { y: single } = await run(two!, { ...product, size: [1, columns, depth] }, Object.fromEntries(alone));
        assert.deepEqual(single, y!.slice(row * columns));
      }
    });
  }
});

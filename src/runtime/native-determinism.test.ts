/**
 * What is promised of the native backend to the last bit: a row's result depends neither on the number of threads, nor on the rows computed
 * with it, nor on where keys and values lie or whether they were cached.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { operatorCases } from '../../test/cases/all.ts';
import type { CaseSize } from '../../test/cases/operator-case.ts';
import { evaluate, type Given, given, randomTensor, type Traced } from '../../test/support.ts';
import type { DType } from '../tensor/dtype.ts';
import type { AttentionAttrs, OpName, Precision } from '../tensor/operators.ts';
import { linear, matmul, swiglu, tokenLogProbs } from '../tensor/ops.ts';
import { integer, permutation, randomStream } from '../util/rng.ts';
import type { Backend } from './backend.ts';
import { createNativeBackend, supportedIsas } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';

const skip = nativeUnavailableReason() ?? false;
const isas = skip ? [] : supportedIsas();
const ops = Object.keys(operatorCases) as OpName[];

describe('the native backend gives the same bits for any number of threads', { skip }, () => {
  // Several chunks of work in each kernel, the last one smaller.
  const size: CaseSize = { tokens: 131, dim: 35, rows: 149 };
  for (const isa of isas) {
    const [one, three] = [1, 3].map((threads) => createNativeBackend({ isa, threads }));
    for (const op of ops) {
      it(`${isa}: ${op}`, async () => {
        for (const { name, tensors, body } of operatorCases[op](size)) {
          assert.deepEqual(await evaluate(three!, tensors, body), await evaluate(one!, tensors, body), name);
        }
      });
    }
  }
});

const T = 67;
const [D, O] = [259, 83];

interface RowWise {
  readonly name: string;
  /** Tensors with one row per token. */
  readonly rows: Readonly<Record<string, Given>>;
  readonly shared: Readonly<Record<string, Given>>;
  readonly body: Traced;
}

function linearCase(x: DType, weight: DType, precision: Precision): RowWise {
  return {
    name: `linear of ${x} and ${weight} in ${precision}`,
    rows: { x: randomTensor('x', x, [T, D]) },
    shared: { weight: randomTensor('weight', weight, [O, D]) },
    body: (t) => ({ y: linear(t.x!, t.weight!, precision) }),
  };
}

const ids = Int32Array.from({ length: T }, (_, t) => integer(randomStream(1, 'ids'), t, O));
const ROW_WISE: readonly RowWise[] = [
  linearCase('f32', 'f32', 'f32'),
  linearCase('f32', 'panel_f32', 'f32'),
  linearCase('f32', 'f32', 'bf16'),
  linearCase('bf16', 'f32', 'bf16'),
  linearCase('bf16', 'bf16', 'bf16'),
  linearCase('bf16', 'panel_bf16', 'bf16'),
  linearCase('f32', 'panel_q8', 'f32'),
  linearCase('f32', 'panel_q4', 'f32'),
  linearCase('bf16', 'panel_q4_min', 'bf16'),
  ...(['f32', 'bf16'] as const).map((precision) => ({
    name: `product with a matrix as it lies, in ${precision}`,
    rows: { x: randomTensor('x', 'f32', [T, D]) },
    shared: { w: randomTensor('w', 'f32', [D, O]) },
    body: ((t) => ({ y: matmul(t.x!, t.w!, { precision }) })) as Traced,
  })),
  {
    name: 'rmsNorm',
    rows: { x: randomTensor('x', 'f32', [T, D]) },
    shared: { weight: randomTensor('weight', 'f32', [D]) },
    body: (t, trace) => {
      const [y, rstd] = trace.apply('rmsNorm', [t.x!, t.weight!], { eps: 1e-5, out: 'bf16' });
      return { y: y!, rstd: rstd! };
    },
  },
  {
    name: 'swiglu',
    rows: { gate: randomTensor('gate', 'f32', [T, D]), up: randomTensor('up', 'f32', [T, D]) },
    shared: {},
    body: (t) => ({ y: swiglu(t.gate!, t.up!) }),
  },
  ...(['f32', 'bf16'] as const).map((precision) => ({
    name: `tokenLogProbs in ${precision}`,
    rows: { x: randomTensor('x', 'f32', [T, D]), targets: given('i32', [T], ids) },
    shared: { weight: randomTensor('weight', 'f32', [O, D]) },
    body: ((t) => ({ y: tokenLogProbs(t.x!, t.weight!, t.targets!, precision) })) as Traced,
  })),
];

/** Stretches of rows: alone, the last, and across the edges of tiles. */
const STRETCHES = [0, 16, 66].map((row) => [row, row + 1] as const).concat([[15, 18]], [[1, 34]], [[3, 67]]);

function rowsOf({ dtype, shape, values, isState }: Given, from: number, to: number): Given {
  const width = values.length / shape[0]!;
  const part = Array.from(values).slice(from * width, to * width);
  return given(dtype, [to - from, ...shape.slice(1)], part, isState);
}

describe('the native backend computes a row alone as it does in a batch', { skip }, () => {
  for (const isa of isas) {
    const native = createNativeBackend({ isa, threads: 2 });
    for (const { name, rows, shared, body } of ROW_WISE) {
      it(`${isa}: ${name}`, async () => {
        const whole = await evaluate(native, { ...rows, ...shared }, body);
        for (const [from, to] of STRETCHES) {
          const some = Object.entries(rows).map(([key, tensor]) => [key, rowsOf(tensor, from, to)] as const);
          const part = await evaluate(native, { ...Object.fromEntries(some), ...shared }, body);
          for (const key of Object.keys(part).filter((output) => !output.startsWith('state.'))) {
            const width = whole[key]!.length / T;
            assert.deepEqual(part[key], whole[key]!.slice(from * width, to * width), `rows ${from} to ${to} of ${key}`);
          }
        }
      });
    }
  }
});

describe('the native backend multiplies packed weights as it does plain ones, bit for bit', { skip }, () => {
  for (const isa of isas) {
    const native = createNativeBackend({ isa });
    for (const precision of ['f32', 'bf16'] as const) {
      it(`${isa} in ${precision}`, async () => {
        const weight = randomTensor('weight', 'f32', [O, D]);
        const packed = { ...weight, dtype: `panel_${precision}` as const, isState: true };
        for (const rows of [1, 2, 15, T]) {
          const x = randomTensor('x', 'f32', [rows, D]);
          const { plain, panels } = await evaluate(native, { x, weight, packed }, (t) => ({
            plain: linear(t.x!, t.weight!, precision),
            panels: linear(t.x!, t.packed!, precision),
          }));
          assert.deepEqual(panels, plain, `${rows} rows`);
        }
      });
    }
  }
});

/** Two kv heads each; the second has blocks of 8 bits that do not fill the widest vectors. */
const HEADS = [
  { numHeads: 4, numKvHeads: 2, headDim: 64, scale: 1 / 8 },
  { numHeads: 6, numKvHeads: 2, headDim: 96, scale: 1 / 9 },
] as const;
const KEYS = 151;

/** The keys and values of one sequence laid out in shuffled blocks, and the last `queries` queries, each call in another layout. */
async function lastQueries(
  native: Backend,
  heads: (typeof HEADS)[number],
  types: { q: DType; kv: DType },
  queries: number,
  blockSize: number,
  strangers: number,
) {
  const [width, kvWidth] = [heads.numHeads * heads.headDim, heads.numKvHeads * heads.headDim];
  const numBlocks = Math.ceil(KEYS / blockSize);
  const order = permutation(randomStream(blockSize, 'blocks'), numBlocks + 2).map((block) => block * blockSize);
  const scatter = (name: string): Given => {
    const sequence = Float64Array.from(randomTensor(name, types.kv, [KEYS, kvWidth]).values);
    const slots = new Float64Array((numBlocks + 2) * blockSize * kvWidth).fill(7);
    for (let key = 0; key < KEYS; key++) {
      const slot = order[Math.floor(key / blockSize)]! + (key % blockSize);
      slots.set(sequence.subarray(key * kvWidth, (key + 1) * kvWidth), slot * kvWidth);
    }
    return given(types.kv, [slots.length / kvWidth, kvWidth], slots, types.kv === 'f16' || types.kv === 'row_q8');
  };
  const q = rowsOf(randomTensor('q', types.q, [KEYS, width]), KEYS - queries - strangers, KEYS);
  const attrs: AttentionAttrs = { ...heads, blockSize, out: types.q === 'bf16' ? 'bf16' : 'f32' };
  const segments = [0, strangers, strangers, 0, strangers, queries, KEYS, 0];
  const tensors = {
    q,
    k: scatter('k'),
    v: scatter('v'),
    segments: given('i32', [2, 4], segments),
    blocks: given('i32', [numBlocks], Int32Array.from(order.subarray(0, numBlocks))),
  };
  const { y } = await evaluate(native, tensors, (t, trace) => ({
    y: trace.apply('attention', [t.q!, t.k!, t.v!, t.segments!, t.blocks!], attrs)[0]!,
  }));
  return y!.slice(strangers * width);
}

describe('native attention gives a query the same bits', { skip }, () => {
  for (const isa of isas) {
    for (const types of [
      { q: 'f32', kv: 'f32' },
      { q: 'f32', kv: 'f16' },
      { q: 'f32', kv: 'row_q8' },
      { q: 'bf16', kv: 'bf16' },
    ] as const) {
      it(`${isa}, ${types.q} over ${types.kv}: alone, among many, cached or not, wherever the keys lie`, async () => {
        const native = createNativeBackend({ isa, threads: 2 });
        for (const heads of HEADS) {
          const all = await lastQueries(native, heads, types, KEYS, 256, 0);
          for (const [queries, blockSize, strangers] of [
            [1, 256, 0],
            [1, 16, 0],
            [1, 1, 5],
            [2, 16, 0],
            [9, 8, 3],
            [33, 64, 40],
            [KEYS, 16, 0],
          ] as const) {
            const some = await lastQueries(native, heads, types, queries, blockSize, strangers);
            const what = `the last ${queries} queries over blocks of ${blockSize} beside ${strangers} others`;
            assert.deepEqual(some, all.slice((KEYS - queries) * heads.numHeads * heads.headDim), what);
          }
        }
      });
    }
  }
});

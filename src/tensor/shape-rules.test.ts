import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allCases } from '../../test/cases/all.ts';
import { ShapeError } from '../util/errors.ts';
import type { DType } from './dtype.ts';
import { trace, Trace } from './graph.ts';
import type { OpAttrs, OpName } from './operators.ts';

/** Inputs as `name: 'dtype [sizes]'`, null for an absent one, and what the error must say. */
type Misfit<K extends OpName> = readonly [
  inputs: Readonly<Record<string, string | null>>,
  message: string,
  attrs?: Partial<OpAttrs[K]>,
];

const HEADS = { numHeads: 4, numKvHeads: 2, headDim: 2, scale: 1, blockSize: 4, out: 'f32' } as const;
const QKV = { q: 'f32 [3, 8]', k: 'f32 [8, 4]', v: 'f32 [8, 4]', segments: 'i32 [1, 4]', blocks: 'i32 [2]' };
const GRAD = { dout: 'f32 [3, 8]', ...QKV, out: 'f32 [3, 8]', lse: 'f32 [3, 4]' };
const inGradOrder = ({ dout, q, k, v, out, lse, segments, blocks }: typeof GRAD) => {
  return { dout, q, k, v, out, lse, segments, blocks };
};
const MATMUL = { transposeA: false, transposeB: false, precision: 'f32', out: 'f32' } as const;
const ADAMW = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0 };

const unary = (op: OpName) => ({
  attrs: {},
  misfits: [
    [{ p: 'bf16 [2]' }, `${op}: p must be f32, got bf16`],
    [{ p: null }, `${op}: the first input must be f32, got nothing`],
  ] as const,
});
const binary = (op: OpName) => ({
  attrs: {},
  misfits: [
    [{ p: 'f32 [2, 3]', q: 'f32 [3, 2]' }, `${op}: b (q) must be f32 [2, 3], got f32 [3, 2]`],
    [{ p: 'f32 [2]', q: 'bf16 [2]' }, `${op}: b (q) must be f32 [2], got bf16 [2]`],
    [{ p: 'i32 [2]', q: 'i32 [2]' }, `${op}: p must be f32, got i32`],
  ] as const,
});

const MISFITS: { readonly [K in OpName]: { attrs: OpAttrs[K]; misfits: readonly Misfit<K>[] } } = {
  matmul: {
    attrs: MATMUL,
    misfits: [
      [{ x: 'f32 [2, 3]', w: 'f32 [4, 5]' }, 'matmul: x [2, 3] and w [4, 5] do not fit: inner sizes 3 and 4'],
      [{ x: 'f32 [2, 3]', w: 'f32 [3, 5]' }, 'inner sizes 3 and 5', { transposeB: true }],
      [{ x: 'f32 [2, 3]', w: 'panel_q8 [5, 3]' }, 'w is panel_q8 and only multiplies', { transposeB: true }],
      [{ x: 'f32 [2, 3]', w: 'f32 [3, 5]' }, 'inner sizes 2 and 3', { transposeA: true }],
      [{ x: 'f32 [3]', w: 'f32 [3, 5]' }, 'matmul: a (x) must be f32 or bf16 [*, *], got f32 [3]'],
      [{ x: 'f32 [2, 3]', w: 'f16 [3, 5]' }, 'or panel_q4_k [*, *], got f16 [3, 5]'],
      [{ x: 'f32 [2, 3]', w: null }, 'matmul: b is missing, expected f32 or bf16'],
      [{ x: 'f32 [2, 3]', w: 'f32 [3, 5]', c: 'f32 [5, 2]' }, 'addend (c) must be f32 [2, 5], got f32 [5, 2]'],
      [{ x: 'f32 [2, 3]', w: 'f32 [3, 5]', c: 'f32 [2, 5]' }, 'an addend needs an f32 result', { out: 'bf16' }],
      [{ x: 'f32 [2, 3]', w: 'panel_f32 [3, 5]' }, 'w is panel_f32 and only multiplies as x * weight^T in f32'],
      [{ x: 'f32 [2, 3]', w: 'panel_bf16 [5, 3]' }, 'w is panel_bf16 and only multiplies', { transposeB: true }],
      [{ x: 'f32 [3, 2]', w: 'panel_f32 [5, 3]' }, 'w is panel_f32', { transposeA: true, transposeB: true }],
    ],
  },
  gather: {
    attrs: {},
    misfits: [
      [{ table: 'f32 [4]', ids: 'i32 [3]' }, 'or panel_q4_k [*, *], got f32 [4]'],
      [{ table: 'f32 [4, 2]', ids: 'f32 [3]' }, 'gather: ids (ids) must be i32 [*], got f32 [3]'],
    ],
  },
  scatterAdd: {
    attrs: { rows: 4 },
    misfits: [
      [{ x: 'f32 [3, 2]', ids: 'i32 [2]' }, 'scatterAdd: ids (ids) must be i32 [3], got i32 [2]'],
      [{ x: 'bf16 [3, 2]', ids: 'i32 [3]' }, 'scatterAdd: values (x) must be f32 [*, *], got bf16 [3, 2]'],
      [{ x: 'f32 [3, 2]', ids: 'i32 [3]', c: 'f32 [3, 2]' }, 'addend (c) must be f32 [4, 2], got f32 [3, 2]'],
    ],
  },
  rmsNorm: {
    attrs: { eps: 1e-5, out: 'f32' },
    misfits: [
      [{ x: 'f32 [2, 3]', w: 'f32 [2]' }, 'rmsNorm: weight (w) must be f32 [3], got f32 [2]'],
      [{ x: 'i32 [2, 3]', w: 'f32 [3]' }, 'rmsNorm: x (x) must be f32 or bf16 [*, *], got i32 [2, 3]'],
    ],
  },
  rmsNormGrad: {
    attrs: {},
    misfits: [
      [
        { dy: 'f32 [2, 3]', x: 'f32 [3, 3]', w: 'f32 [3]', r: 'f32 [2]' },
        'x (x) must be f32 or bf16 [2, 3], got f32 [3, 3]',
      ],
      [{ dy: 'f32 [2, 3]', x: 'f32 [2, 3]', w: 'f32 [2]', r: 'f32 [2]' }, 'weight (w) must be f32 [3], got f32 [2]'],
      [{ dy: 'f32 [2, 3]', x: 'f32 [2, 3]', w: 'f32 [3]', r: 'f32 [3]' }, 'rstd (r) must be f32 [2], got f32 [3]'],
      [
        { dy: 'f32 [2, 3]', x: 'f32 [2, 3]', w: 'f32 [3]', r: 'f32 [2]', c: 'bf16 [2, 3]' },
        'addend (c) must be f32 [2, 3], got bf16 [2, 3]',
      ],
    ],
  },
  rope: {
    attrs: { headDim: 4, inverse: false },
    misfits: [
      [{ x: 'f32 [2, 6]', table: 'f32 [9, 4]', p: 'i32 [2]' }, 'x (x) must be whole heads of even size 4, got [2, 6]'],
      [{ x: 'f32 [2, 3]', table: 'f32 [9, 3]', p: 'i32 [2]' }, 'heads of even size 3', { headDim: 3 }],
      [{ x: 'f32 [2, 8]', table: 'f32 [9, 8]', p: 'i32 [2]' }, 'table (table) must be f32 [*, 4], got f32 [9, 8]'],
      [{ x: 'f32 [2, 8]', table: 'f32 [9, 4]', p: 'i32 [3]' }, 'positions (p) must be i32 [2], got i32 [3]'],
    ],
  },
  attention: {
    attrs: HEADS,
    misfits: [
      [QKV, '4 query heads cannot share 3 kv heads evenly', { numKvHeads: 3 }],
      [QKV, 'head dim 3 must be even and block size 4 at least 1', { headDim: 3 }],
      [QKV, 'block size 0 at least 1', { blockSize: 0 }],
      [{ ...QKV, q: 'f32 [3, 6]' }, 'attention: q (q) must be f32 or bf16 [*, 8], got f32 [3, 6]'],
      [{ ...QKV, k: 'f32 [8, 8]' }, 'k (k) must be f32 or bf16 or f16 or row_q8 [*, 4], got f32 [8, 8]'],
      [{ ...QKV, v: 'f16 [8, 4]' }, 'v (v) must be f32 [8, 4], got f16 [8, 4]'],
      [{ ...QKV, segments: 'i32 [4]' }, 'segments (segments) must be i32 [*, 4], got i32 [4]'],
      [{ ...QKV, blocks: 'f32 [2]' }, 'blocks (blocks) must be i32 [*], got f32 [2]'],
    ],
  },
  attentionGrad: {
    attrs: HEADS,
    misfits: [
      [inGradOrder({ ...GRAD, dout: 'f32 [2, 8]' }), 'dout (dout) must be f32 or bf16 [3, 8], got f32 [2, 8]'],
      [inGradOrder({ ...GRAD, k: 'f16 [8, 4]', v: 'f16 [8, 4]' }), 'k (k) must be f32 or bf16 [*, 4], got f16 [8, 4]'],
      [inGradOrder({ ...GRAD, out: 'f32 [3, 4]' }), 'out (out) must be f32 or bf16 [3, 8], got f32 [3, 4]'],
      [inGradOrder({ ...GRAD, lse: 'f32 [3]' }), 'logsumexp (lse) must be f32 [3, 4], got f32 [3]'],
    ],
  },
  cacheWrite: {
    attrs: {},
    misfits: [
      [{ x: 'f32 [2, 3]', slots: 'i32 [2]' }, 'x (x) must be f32 or bf16 [*, 4], got f32 [2, 3]'],
      [{ x: 'f32 [2, 4]', slots: 'i32 [3]' }, 'slots (slots) must be i32 [2], got i32 [3]'],
    ],
  },
  swiglu: {
    attrs: { out: 'f32' },
    misfits: [[{ gate: 'bf16 [2, 3]', up: 'f32 [2, 3]' }, 'swiglu: up (up) must be bf16 [2, 3], got f32 [2, 3]']],
  },
  swigluGrad: {
    attrs: {},
    misfits: [
      [
        { dy: 'f32 [2, 3]', gate: 'f32 [3, 2]', up: 'f32 [2, 3]' },
        'gate (gate) must be f32 or bf16 [2, 3], got f32 [3, 2]',
      ],
      [{ dy: 'f32 [2, 3]', gate: 'f32 [2, 3]', up: 'f32 [2, 4]' }, 'up (up) must be f32 [2, 3], got f32 [2, 4]'],
    ],
  },
  tokenLogProbs: {
    attrs: { precision: 'f32' },
    misfits: [
      [{ x: 'f32 [2, 3]', w: 'f32 [5, 4]', ids: 'i32 [2]' }, 'weight (w) must be f32 or bf16 [*, 3], got f32 [5, 4]'],
      [{ x: 'f32 [2, 3]', w: 'f32 [5, 3]', ids: 'i32 [3]' }, 'targets (ids) must be i32 [2], got i32 [3]'],
    ],
  },
  tokenLogProbsGrad: {
    attrs: { precision: 'f32' },
    misfits: [
      [{ dy: 'f32 [3]', x: 'f32 [2, 3]', w: 'f32 [5, 3]', ids: 'i32 [2]' }, 'dlogp (dy) must be f32 [2], got f32 [3]'],
      [
        { dy: 'f32 [2]', x: 'f32 [2, 3]', w: 'f32 [5, 3]', ids: 'i32 [2]', c: 'f32 [3, 5]' },
        'addend (c) must be f32 [5, 3], got f32 [3, 5]',
      ],
    ],
  },
  add: {
    attrs: {},
    misfits: [
      [{ p: 'f32 [2]', q: 'f32 [3]' }, 'add: b (q) must be f32 or bf16 [2], got f32 [3]'],
      [{ p: 'f16 [2]', q: 'f16 [2]' }, 'add: p must be f32 or bf16, got f16'],
    ],
  },
  sub: binary('sub'),
  mul: binary('mul'),
  div: binary('div'),
  minimum: binary('minimum'),
  maximum: binary('maximum'),
  greaterEqual: binary('greaterEqual'),
  affine: { ...unary('affine'), attrs: { factor: 1, offset: 0 } },
  exp: unary('exp'),
  log: unary('log'),
  sqrt: unary('sqrt'),
  sigmoid: unary('sigmoid'),
  softplus: unary('softplus'),
  sum: unary('sum'),
  constant: { attrs: { value: 1, shape: [2] }, misfits: [] },
  expand: { attrs: { shape: [2] }, misfits: [[{ x: 'f32 [1]' }, 'expand: x (x) must be f32 [], got f32 [1]']] },
  cast: {
    attrs: { to: 'bf16' },
    misfits: [
      [{ x: 'i32 [2]' }, 'cast: cannot turn x (i32) into bf16'],
      [{ x: 'f32 [2, 2]' }, 'cast: cannot turn x (f32) into panel_f32', { to: 'panel_f32' }],
    ],
  },
  sumOfSquares: {
    attrs: {},
    misfits: [
      [{}, 'sumOfSquares: needs at least one tensor, got none'],
      [{ p: 'f32 [2]', q: 'bf16 [2]' }, 'sumOfSquares: tensor 1 (q) must be f32 [2], got bf16 [2]'],
    ],
  },
  assign: {
    attrs: {},
    misfits: [
      [{ x: 'f32 [4, 8]' }, 'assign: value (x) must be f32 [8, 4], got f32 [4, 8]'],
      [{ x: 'bf16 [8, 4]' }, 'assign: value (x) must be f32 [8, 4], got bf16 [8, 4]'],
    ],
  },
  adamw: {
    attrs: ADAMW,
    misfits: [[{ x: 'f32 [3]' }, 'adamw: hyper (x) must be f32 [4], got f32 [3]']],
  },
};

/** States that an operator changes come first: [8, 4] each. */
const NUM_STATES: { readonly [K in OpName]?: number } = { cacheWrite: 1, assign: 1, adamw: 4 };

function apply<K extends OpName>(op: K, inputs: Misfit<K>[0], attrs: OpAttrs[K]): void {
  trace((t) => {
    const states = Array.from({ length: NUM_STATES[op] ?? 0 }, (_, i) => t.state(`state${i}`, 'f32', [8, 4]));
    const given = Object.entries(inputs).map(([name, type]) => {
      if (type === null) return null;
      const [dtype, sizes] = type.split(' [') as [DType, string];
      return t.input(name, dtype, sizes === ']' ? [] : sizes.slice(0, -1).split(', ').map(Number));
    });
    t.apply(op, [...states, ...given], attrs);
  });
}

function describeMisfits<K extends OpName>(op: K): void {
  const { attrs, misfits } = MISFITS[op];
  for (const [inputs, message, others] of misfits) {
    it(`${op}: ${message}`, () => {
      assert.throws(
        () => apply(op, inputs, { ...attrs, ...others }),
        (error) => error instanceof ShapeError && error.message.includes(message),
      );
    });
  }
}

describe('a shape rule names the operator, the tensor, what it expected and what it got', () => {
  for (const op of Object.keys(MISFITS) as OpName[]) describeMisfits(op);
});

describe('a shape rule', () => {
  it('accepts every case of every operator, also with no tokens', () => {
    for (const tokens of [0, 1, 5]) {
      for (const { tensors, body } of allCases({ tokens, dim: 3, rows: 4 })) {
        trace((t) => {
          const symbolic = Object.entries(tensors).map(([name, { dtype, shape, isState }]) => {
            return [name, isState ? t.state(name, dtype, shape) : t.input(name, dtype, shape)] as const;
          });
          body(Object.fromEntries(symbolic), t);
        });
      }
    }
  });

  it('gives the addition of two bf16 tensors as bf16, of mixed ones as f32', () => {
    const t = new Trace();
    const [wide, narrow] = [t.input('wide', 'f32', [2]), t.input('narrow', 'bf16', [2])];
    const types = [wide, narrow].flatMap((a) => [wide, narrow].map((b) => t.apply('add', [a, b], {})[0]!.dtype));
    assert.deepEqual(types, ['f32', 'f32', 'f32', 'bf16']);
  });
});

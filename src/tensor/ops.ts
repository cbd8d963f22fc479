/**
 * The operators as functions on symbolic tensors: what model and loss code is written in. Shapes and meaning of each are in `OpAttrs`.
 */
import { type DType, isQuantised } from './dtype.ts';
import type { Tensor } from './graph.ts';
import type { AttentionAttrs, FloatType, OpAttrs, OpName, Precision, ProductPrecision } from './operators.ts';

function one<K extends OpName>(op: K, inputs: readonly [Tensor, ...(Tensor | null)[]], attrs: OpAttrs[K]): Tensor {
  return inputs[0].trace.apply(op, inputs, attrs)[0]!;
}

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
  precision?: ProductPrecision;
  out?: FloatType;
  addend?: Tensor | null;
}

/** a * b + addend, either operand transposed on request. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, precision = 'f32', out = 'f32', addend = null } = options;
  return one('matmul', [a, b, addend], { transposeA, transposeB, precision, out });
}

/** x [T, I] times a weight [O, I] transposed: [T, O]. A quantised weight brings its own arithmetic. */
export function linear(x: Tensor, weight: Tensor, precision: Precision, out: FloatType = 'f32'): Tensor {
  return matmul(x, weight, { transposeB: true, precision: isQuantised(weight.dtype) ? 'int8' : precision, out });
}

/** The rows `ids` of a table. */
export function gather(table: Tensor, ids: Tensor): Tensor {
  return one('gather', [table, ids], {});
}

/** The values summed into `rows` rows at `ids`. */
export function scatterAdd(values: Tensor, ids: Tensor, rows: number): Tensor {
  return one('scatterAdd', [values, ids, null], { rows });
}

/** Root-mean-square normalisation (arXiv:1910.07467). */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number, out: FloatType = 'f32'): Tensor {
  return one('rmsNorm', [x, weight], { eps, out });
}

/** Rotary position embedding on interleaved pairs (arXiv:2104.09864). */
export function rope(x: Tensor, table: Tensor, positions: Tensor, headDim: number): Tensor {
  return one('rope', [x, table, positions], { headDim, inverse: false });
}

/** Which queries see which keys: `segments` i32 [N, 4] and `blocks` i32 [M], as OpAttrs.attention says. */
export interface AttentionLayout {
  segments: Tensor;
  blocks: Tensor;
}

/** Causal grouped-query attention over paged keys and values. */
export function attention(q: Tensor, k: Tensor, v: Tensor, layout: AttentionLayout, attrs: AttentionAttrs): Tensor {
  return one('attention', [q, k, v, layout.segments, layout.blocks], attrs);
}

/** The cache with x written to its rows `slots`. */
export function cacheWrite(cache: Tensor, x: Tensor, slots: Tensor): Tensor {
  return one('cacheWrite', [cache, x, slots], {});
}

/** silu(gate) * up (arXiv:2002.05202). */
export function swiglu(gate: Tensor, up: Tensor, out: FloatType = 'f32'): Tensor {
  return one('swiglu', [gate, up], { out });
}

/** Log-probability of each target under softmax(weight x); 0 where the target is negative. */
export function tokenLogProbs(x: Tensor, weight: Tensor, targets: Tensor, precision: Precision): Tensor {
  return one('tokenLogProbs', [x, weight, targets], { precision });
}

const binary = (op: 'add' | 'sub' | 'mul' | 'div' | 'minimum' | 'maximum' | 'greaterEqual') => (a: Tensor, b: Tensor) =>
  one(op, [a, b], {});
const unary = (op: 'exp' | 'log' | 'sqrt' | 'sigmoid' | 'softplus' | 'sum') => (x: Tensor) => one(op, [x], {});

export const add = binary('add');
export const sub = binary('sub');
export const mul = binary('mul');
export const div = binary('div');
export const minimum = binary('minimum');
export const maximum = binary('maximum');
export const greaterEqual = binary('greaterEqual');
export const exp = unary('exp');
export const log = unary('log');
export const sqrt = unary('sqrt');
export const sigmoid = unary('sigmoid');
export const softplus = unary('softplus');
/** All values summed to a scalar. */
export const sum = unary('sum');

/** x * factor + offset. */
export function affine(x: Tensor, factor: number, offset = 0): Tensor {
  return one('affine', [x], { factor, offset });
}

/** A scalar repeated to a shape. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  return one('expand', [x], { shape });
}

/** The same values in another floating type. */
export function cast(x: Tensor, to: DType): Tensor {
  return x.dtype === to ? x : one('cast', [x], { to });
}

/** The sum of the squares of all values of all tensors. */
export function sumOfSquares(tensors: readonly [Tensor, ...Tensor[]]): Tensor {
  return one('sumOfSquares', tensors, {});
}

/** Replaces a state; gives its new version. */
export function assign(state: Tensor, value: Tensor): Tensor {
  return one('assign', [state, value], {});
}

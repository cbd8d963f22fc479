/**
 * The operators: their attributes, how they may share memory, and which of them change state.
 * `OpAttrs` is the root: shapeRules, vjpRules, referenceKernels and nativeLowering are mapped types over it, so that an
 * operator without a row in any of them does not compile.
 *
 * T tokens, D model dim, V vocabulary, H query heads, K kv heads, E head dim, F ffn hidden, S key/value slots,
 * N segments, M block table entries, O rows and I columns of a weight. `?` marks an input that may be absent (null).
 */
import type { DType } from './dtype.ts';

/** Arithmetic of a product: exact f32, or operands rounded to bf16 and summed in f32. */
export type Precision = 'f32' | 'bf16';
/** `int8` is the arithmetic of quantised weights: the other operand is rounded to 8 bits per block of 32 columns. */
export type ProductPrecision = Precision | 'int8';
/** Floating types that an operator may produce. */
export type FloatType = 'f32' | 'bf16';

export interface AttentionAttrs {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  /** Multiplies the scores; 1 / sqrt(headDim) in Llama. */
  scale: number;
  /** Consecutive key slots that one block table entry covers. */
  blockSize: number;
  out: FloatType;
}

export interface OpAttrs {
  /** (a, b, addend? [M, N]) -> addend + a * b [M, N]; a [M, K] or [K, M], b [K, N] or [N, K] as the transposes say. */
  matmul: { transposeA: boolean; transposeB: boolean; precision: ProductPrecision; out: FloatType };
  /** (table [R, D], ids i32 [T]) -> the rows `ids` of table [T, D] f32. The table may be of panels: a tied embedding is kept once. */
  gather: Record<string, never>;
  /** (values [T, D], ids i32 [T], addend? [rows, D]) -> addend + the values summed into rows `ids`, in token order. */
  scatterAdd: { rows: number };
  /** (x [T, D], weight [D]) -> (x / rms(x) * weight [T, D], 1 / rms(x) f32 [T]). */
  rmsNorm: { eps: number; out: FloatType };
  /** (dy [T, D], x [T, D], weight [D], rstd [T], addend? [T, D]) -> (addend + dx f32 [T, D], dweight f32 [D]). */
  rmsNormGrad: Record<string, never>;
  /** (x [T, heads * E], table f32 [positions, E], positions i32 [T]) -> x with each pair (2i, 2i+1) turned; table rows hold (cos, sin) pairs. */
  rope: { headDim: number; inverse: boolean };
  /**
   * (q [T, H*E], k [S, K*E], v [S, K*E], segments i32 [N, 4], blocks i32 [M]) -> (out [T, H*E], logsumexp f32 [T, H]).
   * A segment is (first query row, queries, keys, first block table entry): its queries are the last of its keys, each sees
   * the keys up to its own. Key j lives in slot blocks[entry + floor(j / blockSize)] + j % blockSize. Rows in no segment give 0.
   */
  attention: AttentionAttrs;
  /** (dout, q, k, v, out, logsumexp, segments, blocks) -> (dq, dk, dv) of the types of q, k, v. Each slot is in one segment at most, keys = queries. */
  attentionGrad: AttentionAttrs;
  /** (cache [S, C], x [T, C], slots i32 [T]) -> the cache with row slots[t] set to x[t]; a negative slot is skipped. */
  cacheWrite: Record<string, never>;
  /** (gate [T, F], up [T, F]) -> silu(gate) * up. */
  swiglu: { out: FloatType };
  /** (dy [T, F], gate, up) -> (dgate, dup) of the types of gate and up. */
  swigluGrad: Record<string, never>;
  /** (x [T, D], weight [V, D], targets i32 [T]) -> log softmax(weight x)[target] f32 [T]; 0 where the target is negative (ignored). */
  tokenLogProbs: { precision: Precision };
  /** (dlogp [T], x, weight, targets, addend? [V, D]) -> (logp [T], dx f32 [T, D], addend + dweight f32 [V, D]), logits never materialised whole. */
  tokenLogProbsGrad: { precision: Precision };
  /** Elementwise over equal shapes, f32; `add` also takes and gives bf16. */
  add: Record<string, never>;
  sub: Record<string, never>;
  mul: Record<string, never>;
  div: Record<string, never>;
  minimum: Record<string, never>;
  maximum: Record<string, never>;
  /** 1 where a >= b, else 0. */
  greaterEqual: Record<string, never>;
  /** x * factor + offset. */
  affine: { factor: number; offset: number };
  exp: Record<string, never>;
  log: Record<string, never>;
  sqrt: Record<string, never>;
  sigmoid: Record<string, never>;
  /** log(1 + exp(x)). */
  softplus: Record<string, never>;
  /** All values summed to a scalar []. */
  sum: Record<string, never>;
  /** () -> `value` in every place of an f32 tensor of `shape`. */
  constant: { value: number; shape: readonly number[] };
  /** A scalar [] repeated to `shape`. */
  expand: { shape: readonly number[] };
  /** The same values in another floating type. */
  cast: { to: DType };
  /** Any number of tensors -> the sum of the squares of all their values, a scalar []. */
  sumOfSquares: Record<string, never>;
  /** (state, value) -> the state with all its values replaced. */
  assign: Record<string, never>;
  /**
   * (param, grad, m, v, hyper f32 [4] = learning rate, 1 - beta1^t, 1 - beta2^t, gradient scale) -> the four states: one decoupled
   * AdamW step (arXiv:1711.05101) on grad * scale; grad becomes 0.
   */
  adamw: { beta1: number; beta2: number; eps: number; weightDecay: number };
}

export type OpName = keyof OpAttrs;

/** Inputs that an operator replaces in place: output i is the new value of state input stateUpdates[op][i]. */
export const stateUpdates: { readonly [K in OpName]?: readonly number[] } = {
  cacheWrite: [0],
  assign: [0],
  adamw: [0, 1, 2, 3],
};

/** Where an operator adds a tensor to one of its outputs for free; `foldAddends` moves `add` nodes there. */
export const addendSlots: { readonly [K in OpName]?: { readonly input: number; readonly output: number } } = {
  matmul: { input: 2, output: 0 },
  scatterAdd: { input: 2, output: 0 },
  rmsNormGrad: { input: 4, output: 0 },
  tokenLogProbsGrad: { input: 4, output: 2 },
};

/** Output o may lie in the memory of input i, if that is as large and not read later: pairs [o, i]. */
export const inPlace: { readonly [K in OpName]?: readonly (readonly [number, number])[] } = {
  matmul: [[0, 2]],
  scatterAdd: [[0, 2]],
  rmsNormGrad: [[0, 4]],
  rope: [[0, 0]],
  swiglu: [
    [0, 0],
    [0, 1],
  ],
  swigluGrad: [
    [0, 1],
    [1, 2],
  ],
  tokenLogProbsGrad: [[2, 4]],
  add: [
    [0, 0],
    [0, 1],
  ],
  sub: [[0, 0]],
  mul: [
    [0, 0],
    [0, 1],
  ],
  div: [[0, 0]],
  affine: [[0, 0]],
  exp: [[0, 0]],
  log: [[0, 0]],
  sqrt: [[0, 0]],
  sigmoid: [[0, 0]],
  softplus: [[0, 0]],
};

/**
 * Shape and type rule of each operator: what it accepts, and the types and shapes it gives. Runs while tracing, so it costs nothing per
 * step; every error names the operator, the tensor, the expected and the given shape.
 */
import { ShapeError } from '../util/errors.ts';
import { type DType, isPanel, isQuantised, quantisedDTypes, type Shape } from './dtype.ts';
import type { Tensor } from './graph.ts';
import type { AttentionAttrs, OpAttrs, OpName } from './operators.ts';

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

type Inputs = readonly (Tensor | null)[];
type ShapeRule<K extends OpName> = (inputs: Inputs, attrs: OpAttrs[K]) => readonly TensorType[];

const FLOATS: readonly DType[] = ['f32', 'bf16'];
const CASTABLE: readonly DType[] = ['f32', 'bf16', 'f16'];
const CACHES: readonly DType[] = [...CASTABLE, 'row_q8'];
const MATRICES: readonly DType[] = ['f32', 'bf16', 'panel_f32', 'panel_bf16', ...quantisedDTypes];

/** The arithmetic that a panel is packed for. */
function arithmeticOf(panel: DType): string {
  return isQuantised(panel) ? 'int8' : panel.slice('panel_'.length);
}

/** The input at `index`, of one of `dtypes` and of `shape` (a number is an exact size, null is any). */
function take(
  op: OpName,
  inputs: Inputs,
  index: number,
  name: string,
  dtypes: readonly DType[],
  shape: readonly (number | null)[],
): Tensor {
  const tensor = inputs[index];
  const fits =
    tensor &&
    dtypes.includes(tensor.dtype) &&
    tensor.shape.length === shape.length &&
    shape.every((size, i) => size === null || size === tensor.shape[i]);
  if (fits) return tensor;
  const expected = `${dtypes.join(' or ')} [${shape.map((size) => size ?? '*').join(', ')}]`;
  if (!tensor) throw new ShapeError(`${op}: ${name} is missing, expected ${expected}`);
  throw new ShapeError(
    `${op}: ${name} (${tensor.name}) must be ${expected}, got ${tensor.dtype} [${tensor.shape.join(', ')}]`,
  );
}

/** As `take`, but an absent input passes. */
function takeOptional(op: OpName, inputs: Inputs, index: number, name: string, shape: readonly number[]): void {
  if (inputs[index]) take(op, inputs, index, name, ['f32'], shape);
}

function sizes2(tensor: Tensor): readonly [number, number] {
  return tensor.shape as readonly [number, number];
}

const f32 = (shape: Shape): TensorType => ({ dtype: 'f32', shape });

function elementwise(
  op: OpName,
  arity: 1 | 2,
  dtypes: readonly DType[] = ['f32'],
): (inputs: Inputs) => readonly TensorType[] {
  return (inputs) => {
    const first = inputs[0];
    if (!first || !dtypes.includes(first.dtype)) {
      throw new ShapeError(
        `${op}: ${first?.name ?? 'the first input'} must be ${dtypes.join(' or ')}, got ${first?.dtype ?? 'nothing'}`,
      );
    }
    if (arity === 2) take(op, inputs, 1, 'b', dtypes, first.shape);
    const bf16 = inputs.slice(0, arity).every((input) => input!.dtype === 'bf16');
    return [{ dtype: bf16 ? 'bf16' : 'f32', shape: first.shape }];
  };
}

function checkHeads(op: OpName, attrs: AttentionAttrs): void {
  const { numHeads, numKvHeads, headDim, blockSize } = attrs;
  if (numHeads % numKvHeads !== 0)
    throw new ShapeError(`${op}: ${numHeads} query heads cannot share ${numKvHeads} kv heads evenly`);
  if (headDim % 2 !== 0 || blockSize < 1)
    throw new ShapeError(`${op}: head dim ${headDim} must be even and block size ${blockSize} at least 1`);
}

function attentionInputs(
  op: OpName,
  inputs: Inputs,
  first: number,
  attrs: AttentionAttrs,
  cacheTypes: readonly DType[],
) {
  checkHeads(op, attrs);
  const q = take(op, inputs, first, 'q', FLOATS, [null, attrs.numHeads * attrs.headDim]);
  const k = take(op, inputs, first + 1, 'k', cacheTypes, [null, attrs.numKvHeads * attrs.headDim]);
  const v = take(op, inputs, first + 2, 'v', [k.dtype], k.shape);
  return { q, k, v };
}

function checkIds(op: OpName, inputs: Inputs, index: number, name: string, tokens: number): void {
  take(op, inputs, index, name, ['i32'], [tokens]);
}

export const shapeRules: { readonly [K in OpName]: ShapeRule<K> } = {
  matmul: (inputs, attrs) => {
    const a = take('matmul', inputs, 0, 'a', FLOATS, [null, null]);
    const b = take('matmul', inputs, 1, 'b', MATRICES, [null, null]);
    const [M, K] = attrs.transposeA ? [a.shape[1]!, a.shape[0]!] : sizes2(a);
    const [depth, N] = attrs.transposeB ? [b.shape[1]!, b.shape[0]!] : sizes2(b);
    if (depth !== K) {
      throw new ShapeError(
        `matmul: ${a.name} [${a.shape.join(', ')}] and ${b.name} [${b.shape.join(', ')}] do not fit: inner sizes ${K} and ${depth}`,
      );
    }
    if (isPanel(b.dtype) && (attrs.transposeA || !attrs.transposeB || arithmeticOf(b.dtype) !== attrs.precision)) {
      throw new ShapeError(
        `matmul: ${b.name} is ${b.dtype} and only multiplies as x * weight^T in ${arithmeticOf(b.dtype)}`,
      );
    }
    takeOptional('matmul', inputs, 2, 'addend', [M, N]);
    if (inputs[2] && attrs.out !== 'f32') throw new ShapeError('matmul: an addend needs an f32 result');
    return [{ dtype: attrs.out, shape: [M, N] }];
  },
  gather: (inputs) => {
    const table = take('gather', inputs, 0, 'table', MATRICES, [null, null]);
    const ids = take('gather', inputs, 1, 'ids', ['i32'], [null]);
    return [f32([ids.shape[0]!, table.shape[1]!])];
  },
  scatterAdd: (inputs, { rows }) => {
    const values = take('scatterAdd', inputs, 0, 'values', ['f32'], [null, null]);
    checkIds('scatterAdd', inputs, 1, 'ids', values.shape[0]!);
    takeOptional('scatterAdd', inputs, 2, 'addend', [rows, values.shape[1]!]);
    return [f32([rows, values.shape[1]!])];
  },
  rmsNorm: (inputs, { out }) => {
    const x = take('rmsNorm', inputs, 0, 'x', FLOATS, [null, null]);
    take('rmsNorm', inputs, 1, 'weight', ['f32'], [x.shape[1]!]);
    return [{ dtype: out, shape: x.shape }, f32([x.shape[0]!])];
  },
  rmsNormGrad: (inputs) => {
    const dy = take('rmsNormGrad', inputs, 0, 'dy', FLOATS, [null, null]);
    take('rmsNormGrad', inputs, 1, 'x', FLOATS, dy.shape as number[]);
    take('rmsNormGrad', inputs, 2, 'weight', ['f32'], [dy.shape[1]!]);
    take('rmsNormGrad', inputs, 3, 'rstd', ['f32'], [dy.shape[0]!]);
    takeOptional('rmsNormGrad', inputs, 4, 'addend', dy.shape as number[]);
    return [f32(dy.shape), f32([dy.shape[1]!])];
  },
  rope: (inputs, { headDim }) => {
    const x = take('rope', inputs, 0, 'x', FLOATS, [null, null]);
    if (headDim % 2 !== 0 || x.shape[1]! % headDim !== 0) {
      throw new ShapeError(
        `rope: x (${x.name}) must be whole heads of even size ${headDim}, got [${x.shape.join(', ')}]`,
      );
    }
    take('rope', inputs, 1, 'table', ['f32'], [null, headDim]);
    checkIds('rope', inputs, 2, 'positions', x.shape[0]!);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  attention: (inputs, attrs) => {
    const { q } = attentionInputs('attention', inputs, 0, attrs, CACHES);
    take('attention', inputs, 3, 'segments', ['i32'], [null, 4]);
    take('attention', inputs, 4, 'blocks', ['i32'], [null]);
    return [{ dtype: attrs.out, shape: q.shape }, f32([q.shape[0]!, attrs.numHeads])];
  },
  attentionGrad: (inputs, attrs) => {
    const { q, k, v } = attentionInputs('attentionGrad', inputs, 1, attrs, FLOATS);
    take('attentionGrad', inputs, 0, 'dout', FLOATS, q.shape as number[]);
    take('attentionGrad', inputs, 4, 'out', FLOATS, q.shape as number[]);
    take('attentionGrad', inputs, 5, 'logsumexp', ['f32'], [q.shape[0]!, attrs.numHeads]);
    take('attentionGrad', inputs, 6, 'segments', ['i32'], [null, 4]);
    take('attentionGrad', inputs, 7, 'blocks', ['i32'], [null]);
    return [q, k, v].map(({ dtype, shape }) => ({ dtype, shape }));
  },
  cacheWrite: (inputs) => {
    const cache = take('cacheWrite', inputs, 0, 'cache', CACHES, [null, null]);
    const x = take('cacheWrite', inputs, 1, 'x', FLOATS, [null, cache.shape[1]!]);
    checkIds('cacheWrite', inputs, 2, 'slots', x.shape[0]!);
    return [{ dtype: cache.dtype, shape: cache.shape }];
  },
  swiglu: (inputs, { out }) => {
    const gate = take('swiglu', inputs, 0, 'gate', FLOATS, [null, null]);
    take('swiglu', inputs, 1, 'up', [gate.dtype], gate.shape as number[]);
    return [{ dtype: out, shape: gate.shape }];
  },
  swigluGrad: (inputs) => {
    const dy = take('swigluGrad', inputs, 0, 'dy', FLOATS, [null, null]);
    const gate = take('swigluGrad', inputs, 1, 'gate', FLOATS, dy.shape as number[]);
    const up = take('swigluGrad', inputs, 2, 'up', [gate.dtype], dy.shape as number[]);
    return [gate, up].map(({ dtype, shape }) => ({ dtype, shape }));
  },
  tokenLogProbs: (inputs) => {
    const x = take('tokenLogProbs', inputs, 0, 'x', FLOATS, [null, null]);
    take('tokenLogProbs', inputs, 1, 'weight', FLOATS, [null, x.shape[1]!]);
    checkIds('tokenLogProbs', inputs, 2, 'targets', x.shape[0]!);
    return [f32([x.shape[0]!])];
  },
  tokenLogProbsGrad: (inputs) => {
    const x = take('tokenLogProbsGrad', inputs, 1, 'x', FLOATS, [null, null]);
    const weight = take('tokenLogProbsGrad', inputs, 2, 'weight', FLOATS, [null, x.shape[1]!]);
    take('tokenLogProbsGrad', inputs, 0, 'dlogp', ['f32'], [x.shape[0]!]);
    checkIds('tokenLogProbsGrad', inputs, 3, 'targets', x.shape[0]!);
    takeOptional('tokenLogProbsGrad', inputs, 4, 'addend', weight.shape as number[]);
    return [f32([x.shape[0]!]), f32(x.shape), f32(weight.shape)];
  },
  add: elementwise('add', 2, FLOATS),
  sub: elementwise('sub', 2),
  mul: elementwise('mul', 2),
  div: elementwise('div', 2),
  minimum: elementwise('minimum', 2),
  maximum: elementwise('maximum', 2),
  greaterEqual: elementwise('greaterEqual', 2),
  affine: (inputs) => elementwise('affine', 1)(inputs),
  exp: elementwise('exp', 1),
  log: elementwise('log', 1),
  sqrt: elementwise('sqrt', 1),
  sigmoid: elementwise('sigmoid', 1),
  softplus: elementwise('softplus', 1),
  sum: (inputs) => {
    elementwise('sum', 1)(inputs);
    return [f32([])];
  },
  constant: (_, { shape }) => [f32(shape)],
  expand: (inputs, { shape }) => {
    take('expand', inputs, 0, 'x', ['f32'], []);
    return [f32(shape)];
  },
  cast: (inputs, { to }) => {
    const x = inputs[0];
    if (!x || ![x.dtype, to].every((dtype) => CASTABLE.includes(dtype))) {
      throw new ShapeError(`cast: cannot turn ${x?.name ?? 'nothing'} (${x?.dtype ?? 'missing'}) into ${to}`);
    }
    return [{ dtype: to, shape: x.shape }];
  },
  sumOfSquares: (inputs) => {
    if (inputs.length === 0) throw new ShapeError('sumOfSquares: needs at least one tensor, got none');
    for (const [i, x] of inputs.entries())
      take('sumOfSquares', inputs, i, `tensor ${i}`, ['f32'], (x?.shape ?? []) as number[]);
    return [f32([])];
  },
  assign: (inputs) => {
    const state = inputs[0]!;
    take('assign', inputs, 1, 'value', [state.dtype], state.shape as number[]);
    return [{ dtype: state.dtype, shape: state.shape }];
  },
  adamw: (inputs) => {
    const param = inputs[0]!;
    for (const [i, name] of ['param', 'grad', 'm', 'v'].entries())
      take('adamw', inputs, i, name, ['f32'], param.shape as number[]);
    take('adamw', inputs, 4, 'hyper', ['f32'], [4]);
    return [0, 1, 2, 3].map(() => f32(param.shape));
  },
};

/**
 * The reference kernel of each operator. What each computes is said in OpAttrs. A kernel may find an output in the memory of an input where
 * `inPlace` allows it, and finds the states it updates already in its outputs; it writes all values of all other outputs.
 */
import type { OpName } from '../../tensor/operators.ts';
import { attention, attentionGrad, cacheWrite, rope } from './attention.ts';
import * as elementwise from './elementwise.ts';
import type { ReferenceKernel } from './kernel.ts';
import { tokenLogProbs, tokenLogProbsGrad } from './loss.ts';
import { rmsNorm, rmsNormGrad } from './norms.ts';
import { adamw } from './optimizer.ts';
import { matmul } from './products.ts';

const { unary, binary } = elementwise;

export const referenceKernels: { readonly [K in OpName]: ReferenceKernel<K> } = {
  matmul,
  gather: elementwise.gather,
  scatterAdd: elementwise.scatterAdd,
  rmsNorm,
  rmsNormGrad,
  rope,
  attention,
  attentionGrad,
  cacheWrite,
  swiglu: elementwise.swiglu,
  swigluGrad: elementwise.swigluGrad,
  tokenLogProbs,
  tokenLogProbsGrad,
  add: elementwise.add,
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  minimum: binary(Math.min),
  maximum: binary(Math.max),
  greaterEqual: binary((a, b) => (a >= b ? 1 : 0)),
  affine: elementwise.affine,
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  sigmoid: unary(elementwise.sigmoidOf),
  softplus: unary(elementwise.softplusOf),
  sum: elementwise.sum,
  constant: elementwise.constant,
  expand: elementwise.expand,
  cast: elementwise.copy,
  sumOfSquares: elementwise.sumOfSquares,
  assign: elementwise.assign,
  adamw,
};

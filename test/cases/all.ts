/**
 * The cases of every operator, one row each: an operator without cases does not compile.
 */
import type { OpName } from '../../src/tensor/operators.ts';
import { attentionCases, attentionGradCases, cacheWriteCases, ropeCases } from './attention.ts';
import * as elementwise from './elementwise.ts';
import type { CaseSize, OperatorCase } from './operator-case.ts';
import { matmulCases, tokenLogProbsCases, tokenLogProbsGradCases } from './products.ts';
import { gatherCases, rmsNormCases, rmsNormGradCases, scatterAddCases } from './rows.ts';

const { unaryCases, binaryCases } = elementwise;

export const operatorCases: { readonly [K in OpName]: (size: CaseSize) => readonly OperatorCase[] } = {
  matmul: matmulCases,
  gather: gatherCases,
  scatterAdd: scatterAddCases,
  rmsNorm: rmsNormCases,
  rmsNormGrad: rmsNormGradCases,
  rope: ropeCases,
  attention: attentionCases,
  attentionGrad: attentionGradCases,
  cacheWrite: cacheWriteCases,
  swiglu: elementwise.swigluCases,
  swigluGrad: elementwise.swigluGradCases,
  tokenLogProbs: tokenLogProbsCases,
  tokenLogProbsGrad: tokenLogProbsGradCases,
  add: binaryCases('add', (a, b) => a + b),
  sub: binaryCases('sub', (a, b) => a - b),
  mul: binaryCases('mul', (a, b) => a * b),
  div: binaryCases('div', (a, b) => a / b),
  minimum: binaryCases('minimum', (a, b) => (a < b ? a : b)),
  maximum: binaryCases('maximum', (a, b) => (a > b ? a : b)),
  greaterEqual: binaryCases('greaterEqual', (a, b) => (a >= b ? 1 : 0)),
  affine: elementwise.affineCases,
  exp: unaryCases('exp', (x) => Math.E ** x),
  log: unaryCases('log', (x) => Math.log2(x) * Math.LN2),
  sqrt: unaryCases('sqrt', (x) => x ** 0.5),
  sigmoid: unaryCases('sigmoid', (x) => (1 + Math.tanh(x / 2)) / 2),
  softplus: unaryCases('softplus', (x) => Math.log(1 + Math.exp(x))),
  sum: elementwise.sumCases,
  constant: elementwise.constantCases,
  expand: elementwise.expandCases,
  cast: elementwise.castCases,
  sumOfSquares: elementwise.sumOfSquaresCases,
  assign: elementwise.assignCases,
  adamw: elementwise.adamwCases,
};

/** Every case of every operator at one size. */
export function allCases(size: CaseSize): readonly OperatorCase[] {
  return Object.values(operatorCases).flatMap((cases) => cases(size));
}

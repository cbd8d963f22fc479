/**
 * The gradient rule of each operator: from the gradients of its outputs, the gradients of its inputs (null: none flows there).
 * Rules are written in operators, so gradients are graphs like any other. What a rule computes in vain is dropped later.
 */
import { invariant } from '../util/errors.ts';
import type { Node, Tensor } from '../tensor/graph.ts';
import type { OpName } from '../tensor/operators.ts';
import * as ops from '../tensor/ops.ts';

type Gradients = readonly (Tensor | null)[];
type VjpRule<K extends OpName> = (node: Node<K>, dy: Tensor, inputs: readonly Tensor[]) => Gradients;

function noGradient(node: Node): never {
  invariant(false, `internal: ${node.op} has no gradient`);
}

function matmulGrad({ attrs }: Node<'matmul'>, dy: Tensor, [a, b]: readonly Tensor[]): Gradients {
  const { transposeA, transposeB, precision } = attrs;
  const da = transposeA
    ? ops.matmul(b!, dy, { transposeA: transposeB, transposeB: true, precision })
    : ops.matmul(dy, b!, { transposeB: !transposeB, precision });
  const db = transposeB
    ? ops.matmul(dy, a!, { transposeA: true, transposeB: transposeA, precision })
    : ops.matmul(a!, dy, { transposeA: !transposeA, precision });
  return [da, db, dy];
}

/** dy where `keepFirst` holds, to the first input; the rest to the second. */
function splitBy(keepFirst: Tensor, dy: Tensor): Gradients {
  const first = ops.mul(dy, keepFirst);
  return [first, ops.sub(dy, first)];
}

/** `dy` is the gradient of output 0, the only one that gradients flow through. */
export const vjpRules: { readonly [K in OpName]: VjpRule<K> } = {
  matmul: matmulGrad,
  gather: (_, dy, [table, ids]) => [ops.scatterAdd(dy, ids!, table!.shape[0]!), null],
  scatterAdd: (_, dy, [, ids]) => [ops.gather(dy, ids!), null, dy],
  rmsNorm: ({ outputs }, dy, [x, weight]) => x!.trace.apply('rmsNormGrad', [dy, x!, weight!, outputs[1]!, null], {}),
  rmsNormGrad: noGradient,
  rope: ({ attrs }, dy, [, table, positions]) => [
    dy.trace.apply('rope', [dy, table!, positions!], { ...attrs, inverse: !attrs.inverse })[0]!,
    null,
    null,
  ],
  attention: ({ attrs, outputs }, dy, [q, k, v, segments, blocks]) => [
    ...dy.trace.apply('attentionGrad', [dy, q!, k!, v!, outputs[0]!, outputs[1]!, segments!, blocks!], attrs),
    null,
    null,
  ],
  attentionGrad: noGradient,
  cacheWrite: noGradient,
  swiglu: (_, dy, [gate, up]) => dy.trace.apply('swigluGrad', [dy, gate!, up!], {}),
  swigluGrad: noGradient,
  tokenLogProbs: ({ attrs }, dy, [x, weight, targets]) => {
    const [, dx, dweight] = dy.trace.apply('tokenLogProbsGrad', [dy, x!, weight!, targets!, null], attrs);
    return [dx!, dweight!, null];
  },
  tokenLogProbsGrad: noGradient,
  add: (_, dy) => [dy, dy],
  sub: (_, dy) => [dy, ops.affine(dy, -1)],
  mul: (_, dy, [a, b]) => [ops.mul(dy, b!), ops.mul(dy, a!)],
  div: ({ outputs }, dy, [, b]) => {
    const da = ops.div(dy, b!);
    return [da, ops.affine(ops.mul(da, outputs[0]!), -1)];
  },
  minimum: (_, dy, [a, b]) => splitBy(ops.greaterEqual(b!, a!), dy),
  maximum: (_, dy, [a, b]) => splitBy(ops.greaterEqual(a!, b!), dy),
  greaterEqual: () => [null, null],
  affine: ({ attrs }, dy) => [ops.affine(dy, attrs.factor)],
  exp: ({ outputs }, dy) => [ops.mul(dy, outputs[0]!)],
  log: (_, dy, [x]) => [ops.div(dy, x!)],
  sqrt: ({ outputs }, dy) => [ops.affine(ops.div(dy, outputs[0]!), 0.5)],
  sigmoid: ({ outputs }, dy) => {
    const y = outputs[0]!;
    return [ops.mul(dy, ops.mul(y, ops.affine(y, -1, 1)))]; // y (1 - y)
  },
  softplus: (_, dy, [x]) => [ops.mul(dy, ops.sigmoid(x!))],
  sum: (_, dy, [x]) => [ops.expand(dy, x!.shape)],
  constant: () => [],
  expand: (_, dy) => [ops.sum(dy)],
  cast: (_, dy, [x]) => [ops.cast(dy, x!.dtype)],
  sumOfSquares: (_, dy, inputs) => inputs.map((x) => ops.mul(ops.expand(ops.affine(dy, 2), x.shape), x)),
  assign: noGradient,
  adamw: noGradient,
};

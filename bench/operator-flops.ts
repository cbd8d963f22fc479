/**
 * Floating-point operations of the expensive operators, so that a profile can say what share of the machine's peak each one reaches.
 */
import type { Operand, Plan } from '../src/runtime/plan.ts';
import type { OpAttrs, OpName } from '../src/tensor/operators.ts';

type Shapes = readonly (readonly number[])[];

/** Of one instruction, from its input shapes; `seqLen` is the length of every document. */
const RULES: { readonly [K in OpName]?: (shapes: Shapes, attrs: OpAttrs[K], seqLen: number) => number } = {
  matmul: ([a, b], { transposeA, transposeB }) =>
    2 * a![transposeA ? 1 : 0]! * a![transposeA ? 0 : 1]! * b![transposeB ? 0 : 1]!,
  // Half of two products forward, half of five backward: scores and the gradient of probabilities again, then q, k and v.
  attention: ([q], _, seqLen) => 2 * q![0]! * q![1]! * seqLen,
  attentionGrad: ([dout], _, seqLen) => 5 * dout![0]! * dout![1]! * seqLen,
  tokenLogProbs: ([x, weight]) => 2 * x![0]! * x![1]! * weight![0]!,
  tokenLogProbsGrad: ([, x, weight]) => 6 * x![0]! * x![1]! * weight![0]!,
};

/** Operations by operator, over all instructions of a plan. */
export function operatorFlops({ instructions }: Plan, seqLen: number): Map<OpName, number> {
  const flops = new Map<OpName, number>();
  for (const { op, inputs, attrs } of instructions) {
    const shapes = inputs.filter((input): input is Operand => input !== null).map(({ shape }) => shape);
    const rule = RULES[op] as ((shapes: Shapes, attrs: unknown, seqLen: number) => number) | undefined;
    if (rule) flops.set(op, (flops.get(op) ?? 0) + rule(shapes, attrs, seqLen));
  }
  return flops;
}

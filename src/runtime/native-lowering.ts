/**
 * How a plan becomes the numbers that the native kernels run on: for each operator its attributes in order and the scratch memory its
 * kernel asks for, and the encoding of a whole plan. kernels/program.h describes the encoding, kernels/operators.h repeats the list.
 */
import type { DType } from '../tensor/dtype.ts';
import { isQuantised, numValues, quantisedDTypes } from '../tensor/dtype.ts';
import type { Node } from '../tensor/graph.ts';
import type { AttentionAttrs, OpAttrs, OpName, ProductPrecision } from '../tensor/operators.ts';
import type { TensorType } from '../tensor/shape-rules.ts';
import type { Instruction, Operand, Plan } from './plan.ts';
import {
  gradOperandBytes,
  logitRows,
  matmulBytes,
  tokenLogProbsBytes,
  tokenLogProbsGradBytes,
} from './product-workspace.ts';

export interface Lowering<K extends OpName> {
  /** Attributes as numbers, in the order the kernel reads them. What the types of the tensors say is left out. */
  attrs(attrs: OpAttrs[K], inputs: readonly (TensorType | null)[]): readonly number[];
  /** Scratch memory that the threads share while the operator runs; none when absent. */
  workspaceBytes?(inputs: readonly (TensorType | null)[], outputs: readonly TensorType[], attrs: OpAttrs[K]): number;
}

const none = { attrs: (): readonly number[] => [] };
const attention = (attrs: AttentionAttrs): readonly number[] => [
  attrs.numHeads,
  attrs.numKvHeads,
  attrs.headDim,
  attrs.scale,
  attrs.blockSize,
];
const isBf16 = (precision: ProductPrecision): number => Number(precision === 'bf16');

/** One row per operator; the order of the rows is the order of the opcodes. */
export const nativeLowering: { readonly [K in OpName]: Lowering<K> } = {
  matmul: {
    attrs: ({ transposeA, transposeB, precision }) => [Number(transposeA), Number(transposeB), isBf16(precision)],
    workspaceBytes: (inputs, outputs, attrs) =>
      isQuantised(inputs[1]!.dtype)
        ? quantisedBytes(inputs[0]!.shape as [number, number])
        : matmulBytes(inputs, outputs, attrs),
  },
  gather: none,
  scatterAdd: none,
  rmsNorm: { attrs: ({ eps }) => [eps] },
  rmsNormGrad: {
    ...none,
    // A row of the weight's gradient per block of tokens (rms-norm.cpp).
    workspaceBytes: ([x]) => 4 * Math.ceil(x!.shape[0]! / 64) * x!.shape[1]!,
  },
  rope: { attrs: ({ headDim, inverse }) => [headDim, Number(inverse)] },
  attention: { attrs: attention },
  attentionGrad: { attrs: attention },
  cacheWrite: none,
  swiglu: none,
  swigluGrad: none,
  tokenLogProbs: {
    attrs: ({ precision }, [x, weight]) => [isBf16(precision), logitRows(x!, weight!)],
    workspaceBytes: (inputs, _, { precision }) => tokenLogProbsBytes(inputs, precision),
  },
  tokenLogProbsGrad: {
    attrs: ({ precision }, [, x, weight]) => [
      isBf16(precision),
      logitRows(x!, weight!),
      gradOperandBytes(x!, weight!, precision),
    ],
    workspaceBytes: (inputs, _, { precision }) => tokenLogProbsGradBytes(inputs, precision),
  },
  add: none,
  sub: none,
  mul: none,
  div: none,
  minimum: none,
  maximum: none,
  greaterEqual: none,
  affine: { attrs: ({ factor, offset }) => [factor, offset] },
  exp: none,
  log: none,
  sqrt: none,
  sigmoid: none,
  softplus: none,
  sum: { ...none, workspaceBytes: sumBytes },
  constant: { attrs: ({ value }) => [value] },
  expand: none,
  cast: none,
  sumOfSquares: { ...none, workspaceBytes: sumBytes },
  assign: none,
  adamw: { attrs: ({ beta1, beta2, eps, weightDecay }) => [beta1, beta2, eps, weightDecay] },
};

/** Room for rows rounded to 8 bits: a byte a value and two numbers per 32 columns, whole blocks of up to 256 columns. */
function quantisedBytes([rows, columns]: readonly [number, number]): number {
  return ((rows * Math.ceil(columns / 256) * 256) / 32) * (32 + 8);
}

/** Operator names by opcode. */
export const OPERATORS = Object.keys(nativeLowering) as OpName[];

/** Names of the element types by the number the kernels know them by. */
export const DTYPES: readonly DType[] = [
  'f32',
  'bf16',
  'f16',
  'i32',
  'row_q8',
  'panel_f32',
  'panel_bf16',
  ...quantisedDTypes,
];

/** An f64 per block of 2^14 values of each tensor (reduce.cpp). */
function sumBytes(inputs: readonly (TensorType | null)[]): number {
  return inputs.reduce((bytes, x) => bytes + 8 * Math.ceil(numValues(x!.shape) / 2 ** 14), 0);
}

/** Scratch memory that the kernel of a node asks for. */
export function workspaceBytesOf<K extends OpName>({ op, inputs, outputs, attrs }: Node<K>): number {
  return nativeLowering[op].workspaceBytes?.(inputs, outputs, attrs) ?? 0;
}

const OPCODES: ReadonlyMap<OpName, number> = new Map(OPERATORS.map((op, opcode) => [op, opcode]));
const DTYPE_NUMBERS: ReadonlyMap<DType, number> = new Map(DTYPES.map((dtype, number) => [dtype, number]));

function encodeOperand(words: number[], operand: Operand | null): void {
  if (!operand) {
    words.push(-1);
    return;
  }
  const { buffer, byteOffset, byteLength: bytes, dtype, shape } = operand;
  words.push(buffer, byteOffset, bytes, DTYPE_NUMBERS.get(dtype)!, shape.length, ...shape);
}

function encodeInstruction<K extends OpName>(words: number[], instruction: Instruction<K>): void {
  const { op, attrs, inputs, outputs, workspace } = instruction;
  const numbers = nativeLowering[op].attrs(attrs, inputs);
  words.push(OPCODES.get(op)!, inputs.length, outputs.length, numbers.length, ...numbers);
  for (const input of inputs) encodeOperand(words, input);
  for (const output of outputs) encodeOperand(words, output);
  encodeOperand(words, workspace);
}

/** The plan's instructions as numbers, for the addon's `load`. */
export function encodeProgram(plan: Plan): Float64Array {
  const words: number[] = [];
  for (const instruction of plan.instructions) encodeInstruction(words, instruction);
  return new Float64Array(words);
}

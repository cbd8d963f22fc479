/**
 * What a graph computes and reads: floating-point operations and bytes of state, from shapes alone. Products and attention count; what runs
 * over single vectors is below a percent of them.
 *
 * T tokens, D model dim, V vocabulary.
 */
import { byteLength, numValues } from '../tensor/dtype.ts';
import type { Graph, Node } from '../tensor/graph.ts';
import type { AttentionAttrs, OpName } from '../tensor/operators.ts';

/** Query-key pairs of one head that attention looks at: it depends on the data, not on shapes. */
export interface AttentionWork {
  readonly numPairs: number;
}

/** Pairs of `numQueries` tokens at the end of `numKeys`: each sees those before it and itself. */
export function causalPairs(numQueries: number, numKeys: number): number {
  return numQueries * (numKeys - numQueries) + (numQueries * (numQueries + 1)) / 2;
}

type Flops = (node: Node, work: AttentionWork) => number;

const productFlops: Flops = ({ inputs, outputs }) => {
  const depth = numValues(inputs[0]!.shape) / outputs[0]!.shape[0]!;
  return 2 * depth * numValues(outputs[0]!.shape);
};

/** One of x [T, D] with weight [V, D]. */
const vocabularyFlops = (x: number, weight: number): Flops => {
  return ({ inputs }) => 2 * numValues(inputs[x]!.shape) * inputs[weight]!.shape[0]!;
};

/** Each product over all pairs of all heads takes 2 * head dim operations a pair. */
const attentionFlops = (numProducts: number): Flops => {
  return ({ attrs }, { numPairs }) => {
    const { numHeads, headDim } = attrs as AttentionAttrs;
    return numProducts * 2 * headDim * numHeads * numPairs;
  };
};

const OPERATOR_FLOPS: { readonly [K in OpName]?: Flops } = {
  matmul: productFlops,
  attention: attentionFlops(2), // scores, values
  attentionGrad: attentionFlops(5), // scores again, and the gradients of values, weights, queries and keys
  tokenLogProbs: vocabularyFlops(0, 1),
  tokenLogProbsGrad: (node, work) => 3 * vocabularyFlops(1, 2)(node, work), // logits again, dx, dweight
};

/** Floating-point operations of one run. */
export function graphFlops(graph: Graph, work: AttentionWork): number {
  return [...operatorFlops(graph, work).values()].reduce((total, flops) => total + flops, 0);
}

/** Floating-point operations of one run, of each operator that takes many. */
export function operatorFlops(graph: Graph, work: AttentionWork): Map<OpName, number> {
  const totals = new Map<OpName, number>();
  for (const node of graph.nodes) {
    const flops = OPERATOR_FLOPS[node.op]?.(node, work);
    if (flops !== undefined) totals.set(node.op, (totals.get(node.op) ?? 0) + flops);
  }
  return totals;
}

/** Values of all states whose name `isCounted`. */
export function numStateValues(graph: Graph, isCounted: (name: string) => boolean): number {
  return counted(graph, isCounted).reduce((total, { shape }) => total + numValues(shape), 0);
}

/** Bytes of all states whose name `isCounted`. */
export function stateBytes(graph: Graph, isCounted: (name: string) => boolean): number {
  return counted(graph, isCounted).reduce((total, { dtype, shape }) => total + byteLength(dtype, shape), 0);
}

function counted(graph: Graph, isCounted: (name: string) => boolean) {
  return graph.states.filter(({ name }) => isCounted(name));
}

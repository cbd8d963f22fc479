/**
 * What one attention head looks at: its probabilities over a text, from the queries and keys of the real model.
 * Traces the model and takes them from its attention operator, so there is no second definition of the model here.
 *
 * T tokens, H query heads, K kv heads, E head dim.
 */
import { llamaHidden } from '../model/llama3.ts';
import type { Tensor } from '../tensor/graph.ts';
import { cast } from '../tensor/ops.ts';
import { ConfigError, invariant } from '../util/errors.ts';
import type { InferenceModel } from './model.ts';
import { runOnText } from './single-text.ts';

/** Probabilities [T, T] in rows: how much token `row` attends to token `column`; 0 where the column comes later. */
export async function attentionPattern(
  model: InferenceModel,
  ids: readonly number[],
  { layer, head }: { layer: number; head: number },
): Promise<Float32Array> {
  const { numLayers, numHeads, numKvHeads, headDim } = model.config;
  checkIndex('layer', layer, numLayers);
  checkIndex('head', head, numHeads);
  const outputs = await runOnText(model, ids, (tokens, context) => {
    llamaHidden(tokens, context);
    const [q, k] = attentionInputs(tokens, layer);
    tokens.trace.output('q', cast(q, 'f32')); // [T, H * E]
    tokens.trace.output('k', cast(k, 'f32')); // [T, K * E]
  });
  const kvHead = Math.floor(head / (numHeads / numKvHeads)); // grouped queries share a kv head
  const q = headRows(outputs['q'] as Float32Array, numHeads, head, headDim);
  const k = headRows(outputs['k'] as Float32Array, numKvHeads, kvHead, headDim);
  return causalSoftmax(q, k);
}

function checkIndex(name: string, index: number, count: number): void {
  if (Number.isInteger(index) && index >= 0 && index < count) return;
  throw new ConfigError(`${name} must be a whole number from 0 to ${count - 1} for this model, got ${index}`);
}

function attentionInputs({ trace }: Tensor, layer: number): [Tensor, Tensor] {
  const node = trace.nodes.filter(({ op }) => op === 'attention')[layer];
  invariant(node?.inputs[0] && node.inputs[1], 'internal: a layer without attention');
  return [node.inputs[0], node.inputs[1]];
}

/** Rows of one head, E values each, from rows of all heads. */
function headRows(values: Float32Array, numHeads: number, head: number, headDim: number): Float32Array[] {
  const width = numHeads * headDim;
  return Array.from({ length: values.length / width }, (_, row) => {
    const start = row * width + head * headDim;
    return values.subarray(start, start + headDim);
  });
}

/** softmax(q k^T / sqrt(E)) over the keys up to each query (arXiv:1706.03762, eq. 1). */
function causalSoftmax(q: readonly Float32Array[], k: readonly Float32Array[]): Float32Array {
  const T = q.length;
  const pattern = new Float32Array(T * T);
  for (const [row, query] of q.entries()) {
    const scores = k.slice(0, row + 1).map((key) => dot(query, key) * query.length ** -0.5);
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [column, weight] of weights.entries()) pattern[row * T + column] = weight / total;
  }
  return pattern;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

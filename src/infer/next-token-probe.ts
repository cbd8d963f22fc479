/**
 * The distribution over the next token of a text, and its most likely tokens. Knows nothing of sampling: these are the model's own
 * probabilities at temperature 1.
 */
import { llamaHidden, llamaLogits } from '../model/llama3.ts';
import { gather } from '../tensor/ops.ts';
import type { InferenceModel } from './model.ts';
import { runOnText } from './single-text.ts';

export interface NextTokens {
  /** The most likely tokens, the likeliest first. */
  readonly candidates: readonly { readonly id: number; readonly probability: number }[];
  /** Of the whole distribution, in bits: 0 if the model is certain. */
  readonly entropyBits: number;
}

/** The `count` likeliest tokens after a text. */
export async function nextTokens(model: InferenceModel, ids: readonly number[], count: number): Promise<NextTokens> {
  const { logits } = await runOnText(
    model,
    ids,
    (tokens, context) => {
      const hidden = llamaHidden(tokens, context);
      // Of the last token alone: logits of all would take [T, V] of memory.
      const last = gather(hidden, tokens.trace.input('rows', 'i32', [1]));
      tokens.trace.output('logits', llamaLogits(last, context));
    },
    { rows: Int32Array.of(ids.length - 1) },
  );
  const probabilities = softmax(logits as Float32Array);
  const order = Array.from(probabilities, (_, id) => id).toSorted(
    (a, b) => probabilities[b]! - probabilities[a]! || a - b,
  );
  return {
    candidates: order.slice(0, count).map((id) => ({ id, probability: probabilities[id]! })),
    entropyBits: probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log2(p) : sum), 0),
  };
}

function softmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

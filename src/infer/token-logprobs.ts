/**
 * Log-probabilities of tokens as the model gives them: of its distribution before temperature, penalties, bias and constraints, as OpenAI
 * and vLLM report them.
 */
import { expNegative, NEGLIGIBLE } from './exp-negative.ts';
import { largestIds } from './rank-prefix.ts';
import type { Logits } from './sampler.ts';

/** A token and the natural logarithm of its probability. */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** One token of a prompt or reply, and the most likely tokens at its place. */
export interface TokenLogprobs {
  readonly id: number;
  /** Null for the first token of a prompt, which nothing predicts. */
  readonly logprob: number | null;
  /** As many as were asked for, the most likely first. */
  readonly topLogprobs: readonly TokenLogprob[];
}

/** Most alternatives that may be asked for per token. */
export const MAX_TOP_LOGPROBS = 20;

/** The logarithm of the sum of e^logit, in float64. */
export function logSumExp(logits: Logits): number {
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const below = largest - logits[i]!;
    if (below < NEGLIGIBLE) sum += expNegative(below);
  }
  return largest + Math.log(sum);
}

const largest = new Int32Array(MAX_TOP_LOGPROBS);

/** What the logits say of token `id`, and of the `numTop` most likely tokens (the lowest id of equals first). */
export function logprobsOf(logits: Logits, id: number, numTop: number): TokenLogprobs & { readonly logprob: number } {
  const total = logSumExp(logits);
  const count = largestIds(logits, numTop, largest);
  const top = [...largest.subarray(0, count)].toSorted((a, b) => logits[b]! - logits[a]! || a - b);
  return {
    id,
    logprob: logits[id]! - total,
    topLogprobs: top.map((other) => ({ id: other, logprob: logits[other]! - total })),
  };
}

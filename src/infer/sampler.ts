/**
 * The next token from logits: a pure function of the logits, the sampling parameters and one random number.
 * Temperature first, then top-k, then top-p on what is left, as Hugging Face's generation does; top-p alone is Meta's rule.
 */
import { FormatError } from '../util/errors.ts';
import { type RandomStream, uniform } from '../util/rng.ts';
import { expNegative } from './exp-negative.ts';
import { keepPrefix } from './rank-prefix.ts';
import type { SamplingParams } from './sampling-params.ts';

export type Logits = Float32Array | Float64Array;

/** Draws token number `counter` of a request: the same for the same logits, parameters, stream and counter. */
export function sampleToken(logits: Logits, params: SamplingParams, stream: RandomStream, counter: number): number {
  const best = mostLikely(logits);
  const { temperature, topK, topP } = params;
  if (temperature === 0 || topK === 1 || topP === 0) return best;
  const largest = logits[best]!;
  const candidates = topK === null ? likely(logits, largest, params) : mostLikelyK(logits, largest, topK, temperature);
  return draw(keepTopP(candidates, logits, topP), uniform(stream, counter)) ?? best;
}

/** Id of the largest logit, the lowest of equal ones; throws a FormatError where a logit is no number. */
export function mostLikely(logits: Logits): number {
  let best = 0;
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit <= largest) continue;
    best = i;
    largest = logit;
    if (logit !== logit) break;
  }
  if (!Number.isFinite(largest)) {
    throw new FormatError(
      'the model computed logits that are no numbers: its weights are damaged, or training diverged',
    );
  }
  return best;
}

/** Tokens that may be drawn, with weights: their probabilities times a constant. */
interface Candidates {
  readonly ids: Int32Array;
  readonly weights: Float64Array;
  /** The weight of all tokens, also of those left out. */
  readonly total: number;
}

function mostLikelyK(logits: Logits, largest: number, topK: number, temperature: number): Candidates {
  const all = new Int32Array(logits.length);
  for (let i = 0; i < all.length; i++) all[i] = i;
  const numKept = keepPrefix(all, new Float64Array(all.length), logits, (countBefore) => countBefore < topK);
  const ids = all.subarray(0, numKept);
  const weights = new Float64Array(numKept);
  let total = 0;
  for (let i = 0; i < numKept; i++) {
    weights[i] = expNegative((largest - logits[ids[i]!]!) / temperature);
    total += weights[i]!;
  }
  return { ids, weights, total };
}

/**
 * The tokens that top-p might keep. All tokens below (1 - topP) / V of the largest weight together weigh less than 1 - topP of the total,
 * so that more than topP of it ranks before them.
 */
function likely(logits: Logits, largest: number, { temperature, topP }: SamplingParams): Candidates {
  const floor = (1 - topP) / logits.length;
  const factor = 1 / temperature;
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = expNegative((largest - logits[i]!) * factor);
    weights[i] = weight;
    total += weight;
  }
  // A loop of its own: together they take three times as long.
  const ids = new Int32Array(logits.length);
  let count = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight < floor) continue;
    ids[count] = i;
    weights[count++] = weight;
  }
  return { ids: ids.subarray(0, count), weights: weights.subarray(0, count), total };
}

/** Keeps a token if at most `topP` of the probability ranks before it: cumsum - p <= top_p (llama/generation.py sample_top_p). */
function keepTopP(candidates: Candidates, logits: Logits, topP: number): Candidates {
  if (topP === 1) return candidates;
  const limit = topP * candidates.total;
  const { ids, weights } = candidates;
  const numKept = keepPrefix(ids, weights, logits, (_, weightBefore) => weightBefore <= limit);
  return { ids: ids.subarray(0, numKept), weights: weights.subarray(0, numKept), total: candidates.total };
}

/** The first candidate at which the running sum of weights exceeds the share `u` of all; null if rounding lets none. */
function draw({ ids, weights }: Candidates, u: number): number | null {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i]!;
  const target = u * total;
  let running = 0;
  for (let i = 0; i < weights.length; i++) {
    running += weights[i]!;
    if (running > target) return ids[i]!;
  }
  return null;
}

/**
 * The next token from logits: a pure function of the logits, the sampling parameters and one random number. In this order, each on what the
 * one before left, as Hugging Face's generation does: temperature, top-k, top-p, min-p, typical-p. Top-p alone is Meta's rule.
 * The token is drawn in the order of ids, so that like distributions give like tokens for the same random number.
 */
import { FormatError } from '../util/errors.ts';
import { type RandomStream, uniform } from '../util/rng.ts';
import { expNegative, NEGLIGIBLE } from './exp-negative.ts';
import { keepPrefix, largestIds } from './rank-prefix.ts';
import type { SamplingParams } from './sampling-params.ts';

export type Logits = Float32Array | Float64Array;

/** Draws token number `counter` of a request: the same for the same logits, parameters, stream and counter. */
export function sampleToken(logits: Logits, params: SamplingParams, stream: RandomStream, counter: number): number {
  const best = mostLikely(logits);
  const { temperature, topK, topP, minP, typicalP } = params;
  if (temperature === 0 || topK === 1 || topP === 0) return best;
  const largest = logits[best]!;
  scratch.reserve(logits.length);
  const tokens =
    topK === null || topK >= logits.length
      ? likely(logits, largest, params)
      : mostLikelyK(logits, largest, topK, temperature);
  if (topP < 1) keepTopP(tokens, topP);
  if (minP > 0) keepMinP(tokens, minP);
  if (typicalP < 1) keepTypical(tokens, typicalP);
  return draw(tokens, uniform(stream, counter)) ?? best;
}

/** Id of the largest logit, the lowest of equal ones; throws a FormatError where a logit is no number. */
export function mostLikely(logits: Logits): number {
  let best = 0;
  let largest = -Infinity;
  const { length } = logits;
  for (let start = 0; start < length && largest === largest; start += 8) {
    // Asked for eight at a time it takes less than half as long: hardly ever is one larger.
    if (start + 8 <= length && areEightAtMost(largest, logits, start)) continue;
    for (let i = start; i < Math.min(start + 8, length); i++) {
      if (logits[i]! <= largest) continue;
      best = i;
      largest = logits[i]!;
      if (largest !== largest) break;
    }
  }
  if (!Number.isFinite(largest)) {
    throw new FormatError(
      'the model computed logits that are no numbers: its weights are damaged, or training diverged',
    );
  }
  return best;
}

function areEightAtMost(limit: number, values: Logits, start: number): boolean {
  return (
    values[start]! <= limit &&
    values[start + 1]! <= limit &&
    values[start + 2]! <= limit &&
    values[start + 3]! <= limit &&
    values[start + 4]! <= limit &&
    values[start + 5]! <= limit &&
    values[start + 6]! <= limit &&
    values[start + 7]! <= limit
  );
}

/** Memory that all draws share, as large as the largest vocabulary seen: they come one after the other and keep nothing. */
const scratch = {
  ids: new Int32Array(0),
  weights: new Float64Array(0),
  ranked: { ids: new Int32Array(0), scores: new Float64Array(0), weights: new Float64Array(0) },
  reserve(size: number): void {
    if (scratch.ids.length >= size) return;
    scratch.ids = new Int32Array(size);
    scratch.weights = new Float64Array(size);
    scratch.ranked = { ids: new Int32Array(size), scores: new Float64Array(size), weights: new Float64Array(size) };
  },
};

/** Tokens that may be drawn by ascending id, in places [0, count) of the scratch memory, with weights: their probabilities times a constant. */
interface Candidates {
  count: number;
  /** The weight of all tokens of the step before, also of those left out because later steps leave them out for certain. */
  total: number;
}

function mostLikelyK(logits: Logits, largest: number, topK: number, temperature: number): Candidates {
  const { ids, weights } = scratch;
  const count = largestIds(logits, topK, ids);
  ids.subarray(0, count).sort();
  let total = 0;
  for (let i = 0; i < count; i++) {
    weights[i] = expNegative((largest - logits[ids[i]!]!) / temperature);
    total += weights[i]!;
  }
  return { count, total };
}

/**
 * The tokens that top-p and min-p might keep. All tokens below (1 - topP) / V of the total weigh less than 1 - topP of it together, so that more
 * than topP of it ranks before them. What min-p leaves out ranks after all it keeps, so top-p need not see it.
 */
function likely(logits: Logits, largest: number, { temperature, topP, minP }: SamplingParams): Candidates {
  const { ids, weights } = scratch;
  const { length } = logits;
  const factor = 1 / temperature;
  let total = 0;
  for (let i = 0; i < length; i++) {
    const x = (largest - logits[i]!) * factor;
    const weight = x < NEGLIGIBLE ? expNegative(x) : 0;
    weights[i] = weight;
    total += weight;
  }
  const floor = Math.max(((1 - topP) * total) / length, minP, Number.MIN_VALUE);
  // A loop of its own: together they take three times as long.
  let count = 0;
  for (let i = 0; i < length; i++) {
    const weight = weights[i]!;
    if (weight < floor) continue;
    ids[count] = i;
    weights[count++] = weight;
  }
  return { count, total };
}

/** Keeps a token if at most `topP` of the probability ranks before it: cumsum - p <= top_p (llama/generation.py sample_top_p). */
function keepTopP(tokens: Candidates, topP: number): void {
  const { ids, weights, ranked } = scratch;
  const { count, total } = tokens;
  ranked.ids.set(ids.subarray(0, count));
  ranked.weights.set(weights.subarray(0, count));
  ranked.scores.set(weights.subarray(0, count));
  const limit = topP * total;
  const numKept = keepPrefix(ranked, count, (_, weightBefore) => weightBefore <= limit);
  const [lastWeight, lastId] = [ranked.weights[numKept - 1]!, ranked.ids[numKept - 1]!];
  keep(tokens, (weight, id) => weight > lastWeight || (weight === lastWeight && id <= lastId));
}

/** Keeps a token if it is at least `minP` times as likely as the most likely one, whose weight is 1 (arXiv:2407.01082). */
function keepMinP(tokens: Candidates, minP: number): void {
  keep(tokens, (weight) => weight >= minP);
}

/**
 * Keeps the tokens whose surprise -log p is nearest to the entropy, until they have `typicalP` of the probability, and all that are as near
 * as the last of these (arXiv:2202.00666; transformers TypicalLogitsWarper).
 */
function keepTypical(tokens: Candidates, typicalP: number): void {
  const { ids, weights, ranked } = scratch;
  const { count } = tokens;
  let total = 0;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    total += weights[i]!;
    if (weights[i]! > 0) sum -= weights[i]! * Math.log(weights[i]!);
  }
  const expected = sum / total; // the entropy up to log(total), which every surprise has too
  const distance = (weight: number) => Math.abs(-Math.log(weight) - expected);
  for (let i = 0; i < count; i++) {
    ranked.ids[i] = ids[i]!;
    ranked.weights[i] = weights[i]!;
    ranked.scores[i] = -distance(weights[i]!);
  }
  const limit = typicalP * total;
  const numKept = keepPrefix(ranked, count, (before, weightBefore) => before === 0 || weightBefore < limit);
  const farthest = -ranked.scores[numKept - 1]!;
  keep(tokens, (weight) => distance(weight) <= farthest);
}

/** Keeps the candidates that `isKept`, in their order. */
function keep(tokens: Candidates, isKept: (weight: number, id: number) => boolean): void {
  const { ids, weights } = scratch;
  let count = 0;
  for (let i = 0; i < tokens.count; i++) {
    if (!isKept(weights[i]!, ids[i]!)) continue;
    ids[count] = ids[i]!;
    weights[count++] = weights[i]!;
  }
  tokens.count = count;
}

/** The first candidate at which the running sum of weights exceeds the share `u` of all; null if rounding lets none. */
function draw({ count }: Candidates, u: number): number | null {
  const { ids, weights } = scratch;
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[i]!;
  const target = u * total;
  let running = 0;
  for (let i = 0; i < count; i++) {
    running += weights[i]!;
    if (running > target) return ids[i]!;
  }
  return null;
}

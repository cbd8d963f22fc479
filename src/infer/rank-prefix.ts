/**
 * The tokens that top-k and top-p keep, found by partitioning as quickselect does: in expected linear time, never sorting the vocabulary.
 * Tokens rank by logit, equal ones by id.
 */
import type { Logits } from './sampler.ts';

/** Whether a token is kept, given how many tokens and how much weight rank before it: never again once it was not. */
export type Fits = (countBefore: number, weightBefore: number) => boolean;

/**
 * Moves the tokens that fit to the front of `ids` and returns their number; `weights[i]` belongs to `ids[i]` and moves with it.
 * The order within the front is fixed by the input, but not by rank.
 */
export function keepPrefix(ids: Int32Array, weights: Float64Array, logits: Logits, fits: Fits): number {
  let kept = 0;
  let end = ids.length;
  let weight = 0;
  while (kept < end) {
    const pivot = moveMedianToEnd(ids, weights, logits, kept, end);
    const pivotLogit = logits[pivot]!;
    let middle = kept;
    let weightBefore = weight;
    for (let i = kept; i < end - 1; i++) {
      const logit = logits[ids[i]!]!;
      if (logit < pivotLogit || (logit === pivotLogit && ids[i]! > pivot)) continue;
      weightBefore += weights[i]!;
      swap(ids, weights, i, middle++);
    }
    swap(ids, weights, middle, end - 1);
    if (fits(middle, weightBefore)) {
      weight = weightBefore + weights[middle]!;
      kept = middle + 1;
    } else {
      end = middle;
    }
  }
  return kept;
}

/** Brings the median of the first, middle and last token of [start, end) to the end and returns it. */
function moveMedianToEnd(ids: Int32Array, weights: Float64Array, logits: Logits, start: number, end: number): number {
  const places = [start, (start + end) >> 1, end - 1];
  const [, median] = places.toSorted((a, b) => logits[ids[b]!]! - logits[ids[a]!]! || ids[a]! - ids[b]!);
  swap(ids, weights, median!, end - 1);
  return ids[end - 1]!;
}

function swap(ids: Int32Array, weights: Float64Array, a: number, b: number): void {
  const id = ids[a]!;
  const weight = weights[a]!;
  ids[a] = ids[b]!;
  weights[a] = weights[b]!;
  ids[b] = id;
  weights[b] = weight;
}

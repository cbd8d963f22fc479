/**
 * Which tokens rank before a limit, without sorting the vocabulary: by partitioning as quickselect does, in expected linear time, and for the
 * few best by a heap. Tokens rank by score, equal ones by id.
 */
import { invariant } from '../util/errors.ts';

/** Tokens with a score and a weight each, in places [0, count) of the arrays. */
export interface RankedTokens {
  readonly ids: Int32Array;
  readonly scores: Float64Array;
  readonly weights: Float64Array;
}

/** Whether a token is kept, given how many tokens and how much weight rank before it: never again once it was not. */
export type Fits = (countBefore: number, weightBefore: number) => boolean;

/** Moves the tokens that fit to the front and returns their number; their order there is not by rank. The last that fits comes last of them. */
export function keepPrefix(tokens: RankedTokens, count: number, fits: Fits): number {
  const { ids, scores, weights } = tokens;
  let kept = 0;
  let end = count;
  let weight = 0;
  while (kept < end) {
    moveMedianToEnd(tokens, kept, end);
    const pivot = ids[end - 1]!;
    const pivotScore = scores[end - 1]!;
    let middle = kept;
    let weightBefore = weight;
    for (let i = kept; i < end - 1; i++) {
      const score = scores[i]!;
      if (score < pivotScore || (score === pivotScore && ids[i]! > pivot)) continue;
      weightBefore += weights[i]!;
      swap(tokens, i, middle++);
    }
    swap(tokens, middle, end - 1);
    if (fits(middle, weightBefore)) {
      weight = weightBefore + weights[middle]!;
      kept = middle + 1;
    } else {
      end = middle;
    }
  }
  return kept;
}

/** Brings the median of the first, middle and last token of [start, end) to the end. */
function moveMedianToEnd(tokens: RankedTokens, start: number, end: number): void {
  const middle = (start + end) >> 1;
  const last = end - 1;
  if (ranksBefore(tokens, middle, start)) swap(tokens, start, middle);
  if (ranksBefore(tokens, last, start)) swap(tokens, start, last);
  if (ranksBefore(tokens, middle, last)) swap(tokens, middle, last);
}

function ranksBefore({ ids, scores }: RankedTokens, a: number, b: number): boolean {
  return scores[a]! > scores[b]! || (scores[a] === scores[b] && ids[a]! < ids[b]!);
}

function swap({ ids, scores, weights }: RankedTokens, a: number, b: number): void {
  const id = ids[a]!;
  const score = scores[a]!;
  const weight = weights[a]!;
  ids[a] = ids[b]!;
  scores[a] = scores[b]!;
  weights[a] = weights[b]!;
  ids[b] = id;
  scores[b] = score;
  weights[b] = weight;
}

/** Writes the ids of the `count` largest of `values` to `heap` and returns how many there are; the lowest ranking of them comes first. */
export function largestIds(values: ArrayLike<number>, count: number, heap: Int32Array): number {
  const size = Math.min(count, values.length);
  invariant(heap.length >= size, 'internal: no room for the largest values');
  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) siftDown(values, heap, i, size);
  if (size === 0) return 0;
  let least = values[heap[0]!]!;
  for (let id = size; id < values.length; id++) {
    if (!(values[id]! > least)) continue;
    heap[0] = id;
    siftDown(values, heap, 0, size);
    least = values[heap[0]!]!;
  }
  return size;
}

function siftDown(values: ArrayLike<number>, heap: Int32Array, start: number, size: number): void {
  const moving = heap[start]!;
  let at = start;
  for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && ranksAfter(values, heap[child + 1]!, heap[child]!)) child++;
    if (!ranksAfter(values, heap[child]!, moving)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = moving;
}

function ranksAfter(values: ArrayLike<number>, a: number, b: number): boolean {
  return values[a]! < values[b]! || (values[a] === values[b] && a > b);
}

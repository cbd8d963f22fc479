/**
 * Merging one piece: the pair of lowest rank first, the leftmost of equals, until no pair merges.
 * Short pieces by repeated search, long ones with a heap: O(n log n) whatever the text.
 * Source: tiktoken src/lib.rs _byte_pair_merge; Sennrich et al., arXiv:1508.07909, algorithm 1.
 */
import type { IdSink } from './id-sink.ts';
import { NO_MERGE, type MergeRules } from './merge-rules.ts';

// Below this length searching all pairs again beats a heap.
const MAX_SEARCHED = 96;
// A heap key is rank * POS_SPAN + pos, exact in a double: ranks stay below 2^22, positions below 2^31.
const POS_SPAN = 2 ** 31;
const GONE = -1;

/** Merges sequences of token ids; keeps scratch memory, so one instance serves one thread. */
export class BytePairMerger {
  readonly #rules: MergeRules;
  readonly #ids = new Int32Array(MAX_SEARCHED);
  readonly #ranks = new Int32Array(MAX_SEARCHED);

  constructor(rules: MergeRules) {
    this.#rules = rules;
  }

  /** Appends to `sink` what the symbols `idOf(start)`, ..., `idOf(end - 1)` merge into. */
  merge(symbols: ArrayLike<number>, start: number, end: number, idOf: Int32Array, sink: IdSink): void {
    if (end - start <= MAX_SEARCHED) this.#mergeShort(symbols, start, end, idOf, sink);
    else mergeLong(this.#rules, symbols, start, end, idOf, sink);
  }

  #mergeShort(symbols: ArrayLike<number>, start: number, end: number, idOf: Int32Array, sink: IdSink): void {
    const rules = this.#rules;
    const ids = this.#ids;
    const ranks = this.#ranks; // ranks[i]: of the pair (i, i + 1)
    let count = end - start;
    for (let i = 0; i < count; i++) ids[i] = idOf[symbols[start + i]!]!;
    for (let i = 0; i + 1 < count; i++) ranks[i] = rules.rank(ids[i]!, ids[i + 1]!);
    while (count > 1) {
      let best = NO_MERGE;
      let at = 0;
      for (let i = 0; i + 1 < count; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!;
          at = i;
        }
      }
      if (best === NO_MERGE) break;
      ids[at] = rules.mergedId(best);
      count--;
      ids.copyWithin(at + 1, at + 2, count + 1);
      ranks.copyWithin(at + 1, at + 2, count);
      if (at > 0) ranks[at - 1] = rules.rank(ids[at - 1]!, ids[at]!);
      if (at + 1 < count) ranks[at] = rules.rank(ids[at]!, ids[at + 1]!);
    }
    for (let i = 0; i < count; i++) sink.push(ids[i]!);
  }
}

function mergeLong(
  rules: MergeRules,
  symbols: ArrayLike<number>,
  start: number,
  end: number,
  idOf: Int32Array,
  sink: IdSink,
): void {
  const count = end - start;
  const ids = new Int32Array(count);
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  const heap = new MinHeap(count);
  for (let i = 0; i < count; i++) {
    ids[i] = idOf[symbols[start + i]!]!;
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  const offer = (left: number, right: number) => {
    const rank = rules.rank(ids[left]!, ids[right]!);
    if (rank !== NO_MERGE) heap.push(rank * POS_SPAN + left);
  };
  for (let i = 0; i + 1 < count; i++) offer(i, i + 1);
  while (heap.size > 0) {
    const key = heap.pop();
    const rank = Math.floor(key / POS_SPAN);
    const left = key - rank * POS_SPAN;
    const right = next[left]!;
    // Out of date if either side has merged since: then the pair at this place has another rank or is gone.
    if (ids[left] === GONE || right === count || rules.rank(ids[left]!, ids[right]!) !== rank) continue;
    ids[left] = rules.mergedId(rank);
    ids[right] = GONE;
    const after = next[right]!;
    next[left] = after;
    if (after < count) {
      previous[after] = left;
      offer(left, after);
    }
    if (previous[left]! >= 0) offer(previous[left]!, left);
  }
  for (let i = 0; i < count; i = next[i]!) sink.push(ids[i]!);
}

/** Binary heap of numbers, smallest first. */
class MinHeap {
  #keys: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(Math.max(capacity, 16));
  }

  push(key: number): void {
    if (this.size === this.#keys.length) {
      const grown = new Float64Array(this.#keys.length * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    const keys = this.#keys;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0]!;
    const last = keys[--this.size]!;
    const size = this.size;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= last) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = last;
    return top;
  }
}

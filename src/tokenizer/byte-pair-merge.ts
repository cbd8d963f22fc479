/**
 * Merging one piece: the pair of lowest rank first, the leftmost of equals, until no pair merges.
 * Short pieces by repeated search, long ones with a queue: O(n log n) whatever the text.
 * Source: tiktoken src/lib.rs _byte_pair_merge; Sennrich et al., arXiv:1508.07909, algorithm 1.
 */
import type { IdSink } from './id-sink.ts';
import { NO_MERGE, type MergeRules } from './merge-rules.ts';
import { RankQueue } from './rank-queue.ts';

// Up to this length searching all pairs again beats a queue.
const MAX_SEARCHED = 64;
const shortRanks = new Int32Array(MAX_SEARCHED);

/** Appends to `sink` what the symbols `ids[0..count)` merge into; `ids` is overwritten. */
export function mergePairs(rules: MergeRules, ids: Int32Array, count: number, sink: IdSink): void {
  if (count <= MAX_SEARCHED) mergeShort(rules, ids, count, sink);
  else mergeLong(rules, ids, count, sink);
}

function mergeShort(rules: MergeRules, ids: Int32Array, count: number, sink: IdSink): void {
  const ranks = shortRanks; // ranks[i]: of the pair (i, i + 1)
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
    ids[at] = rules.mergedId(ids[at]!, ids[at + 1]!, best);
    count--;
    for (let i = at + 1; i < count; i++) {
      ids[i] = ids[i + 1]!;
      ranks[i] = ranks[i + 1]!;
    }
    if (at > 0) ranks[at - 1] = rules.rank(ids[at - 1]!, ids[at]!);
    if (at + 1 < count) ranks[at] = rules.rank(ids[at]!, ids[at + 1]!);
  }
  for (let i = 0; i < count; i++) sink.push(ids[i]!);
}

function mergeLong(rules: MergeRules, ids: Int32Array, count: number, sink: IdSink): void {
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  const ranks = new Int32Array(count).fill(NO_MERGE); // of the pair whose left symbol is here, as of now
  const queue = new RankQueue();
  for (let i = 0; i < count; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  const offer = (left: number, right: number) => {
    const rank = rules.rank(ids[left]!, ids[right]!);
    ranks[left] = rank;
    if (rank !== NO_MERGE) queue.push(rank, left);
  };
  for (let i = 0; i + 1 < count; i++) offer(i, i + 1);
  for (let bucket = queue.lowest(); bucket !== null; bucket = queue.lowest()) {
    const left = bucket.take();
    if (ranks[left] !== bucket.rank) continue; // either side has merged since it was queued
    const right = next[left]!;
    const after = next[right]!;
    ids[left] = rules.mergedId(ids[left]!, ids[right]!, bucket.rank);
    ranks[left] = NO_MERGE;
    ranks[right] = NO_MERGE;
    next[left] = after;
    if (previous[left]! >= 0) offer(previous[left]!, left);
    if (after < count) {
      previous[after] = left;
      offer(left, after);
    }
  }
  for (let i = 0; i < count; i = next[i]!) sink.push(ids[i]!);
}

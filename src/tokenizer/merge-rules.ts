/**
 * Which two neighbouring tokens may merge, and how early: the rank of a pair, lower first.
 * Two sources: the vocabulary itself (tiktoken: a pair merges if its bytes are a token, whose id is the rank),
 * or an explicit list (Hugging Face, GGUF: the place in the list is the rank).
 */
import { ABSENT, type ByteTable } from './byte-table.ts';

/** Rank of a pair that does not merge: above every real rank. */
export const NO_MERGE = 0x7fffffff;

export interface MergeRules {
  /** Rank of merging token `left` with token `right` after it, or NO_MERGE. */
  rank(left: number, right: number): number;
  /** Id of the token that the merge of this rank makes. */
  mergedId(rank: number): number;
}

const CACHE_BITS = 16;
// A cache slot: left, right, rank, unused (so that a slot never straddles a cache line).
const SLOT_WORDS = 4;

/** The merges that a tiktoken vocabulary implies; entries of `vocab` are numbered by rank. */
export class ImpliedMerges implements MergeRules {
  readonly #vocab: ByteTable;
  // Direct-mapped: a pair met again is answered without hashing its bytes, in bounded memory.
  readonly #cache = new Int32Array(SLOT_WORDS << CACHE_BITS).fill(ABSENT);

  constructor(vocab: ByteTable) {
    this.#vocab = vocab;
  }

  rank(left: number, right: number): number {
    const cache = this.#cache;
    const slot = (pairHash(left, right) >>> (32 - CACHE_BITS)) * SLOT_WORDS;
    if (cache[slot] === left && cache[slot + 1] === right) return cache[slot + 2]!;
    const found = this.#vocab.findJoined(left, right);
    const rank = found === ABSENT ? NO_MERGE : found;
    cache[slot] = left;
    cache[slot + 1] = right;
    cache[slot + 2] = rank;
    return rank;
  }

  mergedId(rank: number): number {
    return rank;
  }
}

/** Multiplicative hash of two ids, good in the high bits (Knuth, TAOCP 6.4). */
export function pairHash(left: number, right: number): number {
  return Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
}

/**
 * Which two neighbouring tokens may merge, and how early: the rank of a pair, lower first.
 * Two sources: the vocabulary itself (tiktoken and SentencePiece: a pair merges if together it is a token),
 * or an explicit list (Hugging Face, GGUF: the place in the list is the rank).
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { pairHash } from './pair-hash.ts';
import { PairTable } from './pair-table.ts';

/** Rank of a pair that does not merge: above every real rank. */
export const NO_MERGE = 0x7fffffff;

export interface MergeRules {
  /** Rank of merging token `left` with token `right` after it, or NO_MERGE. */
  rank(left: number, right: number): number;
  /** Id of the token that the two make; only for pairs that merge, with the rank they have. */
  mergedId(left: number, right: number, rank: number): number;
}

const CACHE_BITS = 16;
// A cache slot: left, right, joined id, unused (so that a slot never straddles a cache line).
const SLOT_WORDS = 4;

/** The merges that a vocabulary implies; `ranks` by id, or null where the id is the rank. */
export class ImpliedMerges implements MergeRules {
  readonly #vocab: ByteTable;
  readonly #ranks: Int32Array | null;
  // Direct-mapped: a pair met again is answered without hashing its bytes, in bounded memory.
  readonly #cache = new Int32Array(SLOT_WORDS << CACHE_BITS).fill(ABSENT);

  constructor(vocab: ByteTable, ranks: Int32Array | null = null) {
    this.#vocab = vocab;
    this.#ranks = ranks;
  }

  rank(left: number, right: number): number {
    const id = this.#joined(left, right);
    if (id === ABSENT) return NO_MERGE;
    return this.#ranks === null ? id : this.#ranks[id]!;
  }

  mergedId(left: number, right: number, rank: number): number {
    return this.#ranks === null ? rank : this.#joined(left, right);
  }

  #joined(left: number, right: number): number {
    const cache = this.#cache;
    const slot = (pairHash(left, right) >>> (32 - CACHE_BITS)) * SLOT_WORDS;
    if (cache[slot] === left && cache[slot + 1] === right) return cache[slot + 2]!;
    const id = this.#vocab.findJoined(left, right);
    cache[slot] = left;
    cache[slot + 1] = right;
    cache[slot + 2] = id;
    return id;
  }
}

/** Merges given as a list: the one added last is the weakest. */
export class ListedMerges implements MergeRules {
  readonly #pairs: PairTable;
  readonly #mergedIds: Int32Array;

  constructor(expectedMerges: number) {
    this.#pairs = new PairTable(Math.max(expectedMerges, 1));
    this.#mergedIds = new Int32Array(Math.max(expectedMerges, 1));
  }

  get size(): number {
    return this.#pairs.size;
  }

  /** Adds a merge behind those before; false, and nothing added, if the pair is listed already. */
  add(left: number, right: number, mergedId: number): boolean {
    const rank = this.#pairs.findOrAdd(left, right);
    if (rank < this.#pairs.size - 1) return false;
    this.#mergedIds[rank] = mergedId;
    return true;
  }

  /** The pair at a place of the list. */
  pair(rank: number): { left: number; right: number } {
    return { left: this.#pairs.lefts[rank]!, right: this.#pairs.rights[rank]! };
  }

  rank(left: number, right: number): number {
    const rank = this.#pairs.find(left, right);
    return rank === ABSENT ? NO_MERGE : rank;
  }

  mergedId(_left: number, _right: number, rank: number): number {
    return this.#mergedIds[rank]!;
  }
}

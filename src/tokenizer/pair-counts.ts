/**
 * How often each pair of neighbouring tokens occurs in the pieces, and where; both follow every merge.
 * A merge costs as much as the pair has occurrences, plus a logarithm for the heap of candidates.
 */
import { PairTable } from './pair-table.ts';
import type { PieceCounts } from './piece-counts.ts';

export type Pair = { index: number; left: number; right: number };

const GONE = -1;

export class PairCounts {
  // Symbols of all pieces one after the other, linked inside each piece.
  readonly #symbols: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #pieceOf: Int32Array;
  readonly #pieceCounts: readonly number[];

  readonly #pairs = new PairTable(1 << 14);
  readonly #counts: number[] = [];
  readonly #places: number[][] = []; // positions of the left symbol; out-of-date ones are skipped when read
  readonly #heap: PairHeap;
  readonly #raised = new Set<number>();

  constructor({ pieces, counts }: PieceCounts) {
    let total = 0;
    for (let i = 0; i < pieces.size; i++) total += pieces.entryLength(i);
    this.#symbols = new Int32Array(total);
    this.#next = new Int32Array(total).fill(GONE);
    this.#previous = new Int32Array(total).fill(GONE);
    this.#pieceOf = new Int32Array(total);
    this.#pieceCounts = counts;
    this.#heap = new PairHeap(this.#pairs);
    let at = 0;
    for (let piece = 0; piece < pieces.size; piece++) {
      const bytes = pieces.entry(piece);
      for (let i = 0; i < bytes.length; i++, at++) {
        this.#symbols[at] = bytes[i]!;
        this.#pieceOf[at] = piece;
        if (i === 0) continue;
        this.#next[at - 1] = at;
        this.#previous[at] = at - 1;
        this.#add(at - 1, bytes[i - 1]!, bytes[i]!);
      }
    }
    this.#queueRaised();
  }

  /** The pair with the highest count, of equals the one with the smaller ids; null if no pair is left. */
  takeMostFrequent(): Pair | null {
    for (;;) {
      const candidate = this.#heap.pop();
      if (candidate === null) return null;
      const { index, count } = candidate;
      const current = this.#counts[index]!;
      if (current === count) return { index, left: this.#pairs.lefts[index]!, right: this.#pairs.rights[index]! };
      // The count fell since the pair was queued; a rise would have queued it again above this entry.
      if (current > 0 && current < count) this.#heap.push(index, current);
    }
  }

  /** Replaces every occurrence of the pair, left to right, by token `id`. */
  merge({ index, left, right }: Pair, id: number): void {
    const places = this.#places[index]!;
    this.#places[index] = [];
    places.sort((a, b) => a - b);
    for (const at of places) {
      const partner = this.#next[at]!;
      if (this.#symbols[at] === left && partner !== GONE && this.#symbols[partner] === right) {
        this.#mergeAt(at, partner, id);
      }
    }
    this.#counts[index] = 0;
    this.#raised.delete(index);
    this.#queueRaised();
  }

  #mergeAt(at: number, partner: number, id: number): void {
    const symbols = this.#symbols;
    const before = this.#previous[at]!;
    const after = this.#next[partner]!;
    if (before !== GONE) this.#remove(at, symbols[before]!, symbols[at]!);
    if (after !== GONE) this.#remove(at, symbols[partner]!, symbols[after]!);
    symbols[at] = id;
    symbols[partner] = GONE;
    this.#next[at] = after;
    if (after !== GONE) this.#previous[after] = at;
    if (before !== GONE) this.#add(before, symbols[before]!, id);
    if (after !== GONE) this.#add(at, id, symbols[after]!);
  }

  #add(at: number, left: number, right: number): void {
    const index = this.#pairs.findOrAdd(left, right);
    if (index === this.#counts.length) {
      this.#counts.push(0);
      this.#places.push([]);
    }
    this.#counts[index]! += this.#pieceCounts[this.#pieceOf[at]!]!;
    this.#places[index]!.push(at);
    this.#raised.add(index);
  }

  #remove(at: number, left: number, right: number): void {
    this.#counts[this.#pairs.find(left, right)]! -= this.#pieceCounts[this.#pieceOf[at]!]!;
  }

  #queueRaised(): void {
    for (const index of this.#raised) {
      const count = this.#counts[index]!;
      if (count > 0) this.#heap.push(index, count);
    }
    this.#raised.clear();
  }
}

type Candidate = { index: number; count: number };

/** Candidates, highest count first, then smaller left id, then smaller right id. */
class PairHeap {
  readonly #pairs: PairTable;
  readonly #heap: Candidate[] = [];

  constructor(pairs: PairTable) {
    this.#pairs = pairs;
  }

  push(index: number, count: number): void {
    const heap = this.#heap;
    const candidate = { index, count };
    let at = heap.length;
    heap.push(candidate);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(candidate, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = candidate;
  }

  pop(): Candidate | null {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) return null;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }

  #isBefore(a: Candidate, b: Candidate): boolean {
    if (a.count !== b.count) return a.count > b.count;
    const { lefts, rights } = this.#pairs;
    if (lefts[a.index] !== lefts[b.index]) return lefts[a.index]! < lefts[b.index]!;
    return rights[a.index]! < rights[b.index]!;
  }
}

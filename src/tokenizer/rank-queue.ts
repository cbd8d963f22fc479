/**
 * Places waiting to merge: lowest rank first, leftmost of equals. One bucket a rank, because long pieces repeat few ranks
 * many times and mostly from left to right; a bucket that is fed out of order becomes a heap, so a place costs O(log n) at worst.
 */
import { MinHeap } from './min-heap.ts';

export class RankQueue {
  readonly #ranks = new MinHeap();
  readonly #buckets = new Map<number, Bucket>();
  #recent: Bucket | null = null;

  push(rank: number, place: number): void {
    let bucket = this.#recent;
    if (bucket === null || bucket.rank !== rank) {
      bucket = this.#buckets.get(rank) ?? null;
      if (bucket === null) {
        bucket = new Bucket(rank);
        this.#buckets.set(rank, bucket);
      }
      this.#recent = bucket;
    }
    if (bucket.isEmpty()) this.#ranks.push(rank);
    bucket.push(place);
  }

  /** The bucket of the lowest rank, null when all are empty. */
  lowest(): Bucket | null {
    for (;;) {
      const rank = this.#ranks.peek();
      if (rank === undefined) return null;
      const bucket = this.#buckets.get(rank)!;
      if (!bucket.isEmpty()) return bucket;
      this.#ranks.pop();
    }
  }
}

/** Places of one rank, taken from left to right. */
export class Bucket {
  readonly rank: number;
  #places: number[] = [];
  #cursor = 0;
  #heap: MinHeap | null = null;

  constructor(rank: number) {
    this.rank = rank;
  }

  isEmpty(): boolean {
    return this.#heap === null ? this.#cursor === this.#places.length : this.#heap.size === 0;
  }

  push(place: number): void {
    if (this.#heap !== null) {
      this.#heap.push(place);
    } else if (this.isEmpty() || this.#places[this.#places.length - 1]! < place) {
      this.#places.push(place);
    } else {
      this.#heap = new MinHeap(this.#places.slice(this.#cursor));
      this.#places = [];
      this.#heap.push(place);
    }
  }

  /** Takes the leftmost place out; the bucket must not be empty. */
  take(): number {
    return this.#heap === null ? this.#places[this.#cursor++]! : this.#heap.pop()!;
  }
}

/**
 * Pairs of token ids numbered 0, 1, 2, ... in the order of insertion, found by content.
 */
import { ABSENT } from './byte-table.ts';
import { pairHash } from './pair-hash.ts';

export class PairTable {
  #slots: Int32Array;
  #shift: number;
  lefts: Int32Array;
  rights: Int32Array;
  size = 0;

  constructor(expectedPairs = 1024) {
    const bits = Math.ceil(Math.log2(Math.max(expectedPairs, 8) * 2));
    this.#slots = new Int32Array(2 ** bits).fill(ABSENT);
    this.#shift = 32 - bits;
    this.lefts = new Int32Array(expectedPairs);
    this.rights = new Int32Array(expectedPairs);
  }

  /** Number of the pair, or ABSENT. */
  find(left: number, right: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = pairHash(left, right) >>> this.#shift; ; slot = (slot + 1) & mask) {
      const pair = slots[slot]!;
      if (pair === ABSENT || (this.lefts[pair] === left && this.rights[pair] === right)) return pair;
    }
  }

  /** Number of the pair, which is added if it is not there yet. */
  findOrAdd(left: number, right: number): number {
    const found = this.find(left, right);
    if (found !== ABSENT) return found;
    if (this.size === this.lefts.length) this.#grow();
    const pair = this.size++;
    this.lefts[pair] = left;
    this.rights[pair] = right;
    this.#place(pair);
    return pair;
  }

  #place(pair: number): void {
    const mask = this.#slots.length - 1;
    let slot = pairHash(this.lefts[pair]!, this.rights[pair]!) >>> this.#shift;
    while (this.#slots[slot] !== ABSENT) slot = (slot + 1) & mask;
    this.#slots[slot] = pair;
  }

  #grow(): void {
    const capacity = this.lefts.length * 2;
    const lefts = new Int32Array(capacity);
    lefts.set(this.lefts);
    this.lefts = lefts;
    const rights = new Int32Array(capacity);
    rights.set(this.rights);
    this.rights = rights;
    if (capacity * 2 <= this.#slots.length) return;
    this.#slots = new Int32Array(this.#slots.length * 2).fill(ABSENT);
    this.#shift--;
    for (let pair = 0; pair < this.size; pair++) this.#place(pair);
  }
}

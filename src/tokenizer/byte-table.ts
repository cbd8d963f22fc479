/**
 * Byte strings numbered 0, 1, 2, ... in the order of insertion, found by content: the vocabulary of a tokenizer.
 * Open addressing over typed arrays: no object per entry, so that 128,000 entries load in milliseconds.
 * Knows nothing about merges or text.
 */
import { invariant } from '../util/errors.ts';

/** What `find` answers for bytes that are not in the table; a number, because the answer is stored in typed arrays. */
export const ABSENT = -1;

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export class ByteTable {
  #bytes: Uint8Array;
  #starts: Uint32Array;
  #hashes: Uint32Array;
  #slots: Int32Array;
  #size = 0;
  #maxLength = 0;

  constructor(expectedEntries = 1024, expectedBytes = expectedEntries * 8) {
    this.#bytes = new Uint8Array(expectedBytes);
    this.#starts = new Uint32Array(expectedEntries + 1);
    this.#hashes = new Uint32Array(expectedEntries);
    this.#slots = new Int32Array(slotCount(expectedEntries)).fill(ABSENT);
  }

  get size(): number {
    return this.#size;
  }

  /** Number of the entry equal to `bytes[start..end)`, or ABSENT. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > this.#maxLength) return ABSENT;
    let hash = FNV_OFFSET;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
    return this.#probe(hash >>> 0, bytes, start, length);
  }

  /** Number of the entry equal to entry `left` followed by entry `right`, or ABSENT. */
  findJoined(left: number, right: number): number {
    const starts = this.#starts;
    const bytes = this.#bytes;
    const leftStart = starts[left]!;
    const leftLength = starts[left + 1]! - leftStart;
    const rightStart = starts[right]!;
    const rightEnd = starts[right + 1]!;
    const length = leftLength + rightEnd - rightStart;
    if (length > this.#maxLength) return ABSENT;
    let hash = this.#hashes[left]! | 0;
    for (let i = rightStart; i < rightEnd; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
    hash >>>= 0;
    const mask = this.#slots.length - 1;
    for (let slot = mixed(hash) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]!;
      if (entry === ABSENT) return ABSENT;
      if (this.#hashes[entry] !== hash) continue;
      const entryStart = starts[entry]!;
      if (starts[entry + 1]! - entryStart !== length) continue;
      if (!equalBytes(bytes, entryStart, bytes, leftStart, leftLength)) continue;
      if (equalBytes(bytes, entryStart + leftLength, bytes, rightStart, rightEnd - rightStart)) return entry;
    }
  }

  /** Number of the entry equal to `bytes[start..end)`, which is added if it is not there yet. */
  findOrAdd(bytes: Uint8Array, start: number, end: number): number {
    const found = this.find(bytes, start, end);
    return found === ABSENT ? this.#append(bytes, start, end) : found;
  }

  /** Adds a new entry; false, and nothing added, if equal bytes are there already. */
  add(bytes: Uint8Array): boolean {
    if (this.find(bytes, 0, bytes.length) !== ABSENT) return false;
    this.#append(bytes, 0, bytes.length);
    return true;
  }

  /** Uses up one number without bytes: for vocabularies with holes. */
  addHole(): void {
    this.#reserve(0);
    this.#starts[this.#size + 1] = this.#starts[this.#size]!;
    this.#size++;
  }

  /** Bytes of an entry, empty for a hole; a view that must not be written to. */
  entry(index: number): Uint8Array {
    invariant(index >= 0 && index < this.#size, `internal: entry ${index} of ${this.#size}`);
    return this.#bytes.subarray(this.#starts[index]!, this.#starts[index + 1]!);
  }

  /** Number of bytes of an entry. */
  entryLength(index: number): number {
    return this.#starts[index + 1]! - this.#starts[index]!;
  }

  #probe(hash: number, bytes: Uint8Array, start: number, length: number): number {
    const slots = this.#slots;
    const starts = this.#starts;
    const mask = slots.length - 1;
    for (let slot = mixed(hash) & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]!;
      if (entry === ABSENT) return ABSENT;
      if (this.#hashes[entry] !== hash) continue;
      const entryStart = starts[entry]!;
      if (starts[entry + 1]! - entryStart !== length) continue;
      if (equalBytes(this.#bytes, entryStart, bytes, start, length)) return entry;
    }
  }

  #append(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    this.#reserve(length);
    const index = this.#size++;
    const at = this.#starts[index]!;
    let hash = FNV_OFFSET;
    for (let i = 0; i < length; i++) {
      const byte = bytes[start + i]!;
      this.#bytes[at + i] = byte;
      hash = Math.imul(hash ^ byte, FNV_PRIME);
    }
    this.#starts[index + 1] = at + length;
    this.#hashes[index] = hash;
    if (length > this.#maxLength) this.#maxLength = length;
    this.#place(index);
    return index;
  }

  #place(index: number): void {
    const mask = this.#slots.length - 1;
    let slot = mixed(this.#hashes[index]!) & mask;
    while (this.#slots[slot] !== ABSENT) slot = (slot + 1) & mask;
    this.#slots[slot] = index;
  }

  #reserve(moreBytes: number): void {
    const bytesNeeded = this.#starts[this.#size]! + moreBytes;
    if (bytesNeeded > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(bytesNeeded, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (this.#size < this.#hashes.length) return;
    const capacity = this.#hashes.length * 2;
    const starts = new Uint32Array(capacity + 1);
    starts.set(this.#starts);
    this.#starts = starts;
    const hashes = new Uint32Array(capacity);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    this.#slots = new Int32Array(slotCount(capacity)).fill(ABSENT);
    for (let i = 0; i < this.#size; i++) if (this.entryLength(i) > 0) this.#place(i);
  }
}

// At most half full.
function slotCount(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(entries, 8) * 2));
}

// FNV's low bits depend on few input bits; the table's slot is taken from low bits.
function mixed(hash: number): number {
  return hash ^ (hash >>> 15);
}

function equalBytes(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}

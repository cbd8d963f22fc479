/**
 * Byte strings numbered 0, 1, 2, ... in the order of insertion, found by content: the vocabulary of a tokenizer.
 * Open addressing over typed arrays: no object per entry, so that 128,000 entries load in milliseconds. A slot holds the
 * first 8 bytes and the length beside the number, so that looking up a short string touches one cache line.
 */
import { invariant } from '../util/errors.ts';
import type { Utf8Text } from './utf8.ts';

/** What `find` answers for bytes that are not in the table; a number, because callers keep the answer in typed arrays. */
export const ABSENT = -1;

const HEAD_BYTES = 8;
// A slot: bytes 0..3, bytes 4..7, length (0 marks an empty slot), number.
const SLOT_WORDS = 4;
const MAX_LOAD = 2 / 3;

export class ByteTable {
  #bytes: Uint8Array; // with HEAD_BYTES to spare, because words are read from it
  #view: DataView;
  #starts: Uint32Array;
  #slots: Int32Array;
  // One byte of hash a slot, 0 for an empty one: answers most failing lookups from a table small enough for the cache.
  #tags: Uint8Array;
  #shift: number;
  #capacity: number;
  #size = 0;
  #maxLength = 0;
  readonly #hidden = new Set<number>();
  #joined = paddedText(new Uint8Array(0));

  constructor(expectedEntries = 1024, expectedBytes = expectedEntries * 8) {
    const bits = Math.ceil(Math.log2(Math.max(expectedEntries, 8) / MAX_LOAD));
    this.#capacity = Math.floor(2 ** bits * MAX_LOAD);
    this.#slots = new Int32Array(2 ** bits * SLOT_WORDS);
    this.#tags = new Uint8Array(2 ** bits);
    this.#shift = 32 - bits;
    this.#bytes = new Uint8Array(expectedBytes + HEAD_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#starts = new Uint32Array(this.#capacity + 1);
  }

  get size(): number {
    return this.#size;
  }

  /** Number of the entry equal to `text.bytes[start..end)`, or ABSENT. */
  find(text: Utf8Text, start: number, end: number): number {
    if (end - start > this.#maxLength) return ABSENT;
    const at = this.#locate(text, start, end);
    return this.#slots[at + 2] === 0 ? ABSENT : this.#slots[at + 3]!;
  }

  /** Number of the entry equal to entry `left` followed by entry `right`, or ABSENT. */
  findJoined(left: number, right: number): number {
    const starts = this.#starts;
    const leftStart = starts[left]!;
    const leftLength = starts[left + 1]! - leftStart;
    const rightStart = starts[right]!;
    const length = leftLength + starts[right + 1]! - rightStart;
    if (length > this.#maxLength) return ABSENT;
    if (length > HEAD_BYTES) return this.#findLongJoined(leftStart, leftLength, rightStart, length);
    const view = this.#view;
    let low = firstWord(view, leftStart, leftLength);
    let high = secondWord(view, leftStart, leftLength);
    const rightLow = firstWord(view, rightStart, length - leftLength);
    if (leftLength < 4) {
      const shift = 8 * leftLength;
      high = (rightLow >>> (32 - shift)) | (secondWord(view, rightStart, length - leftLength) << shift);
      low |= rightLow << shift;
    } else {
      high |= rightLow << (8 * (leftLength - 4));
    }
    const hash = finalHash(headHash(low, high, length));
    const tag = tagOf(hash);
    const tags = this.#tags;
    const mask = tags.length - 1;
    for (let slot = hash >>> this.#shift; tags[slot] !== 0; slot = (slot + 1) & mask) {
      if (tags[slot] !== tag) continue;
      const slots = this.#slots;
      const at = slot * SLOT_WORDS;
      if (slots[at] === low && slots[at + 1] === high && slots[at + 2] === length) return slots[at + 3]!;
    }
    return ABSENT;
  }

  #findLongJoined(leftStart: number, leftLength: number, rightStart: number, length: number): number {
    if (this.#joined.length < length) this.#joined = paddedText(new Uint8Array(this.#maxLength));
    const joined = this.#joined.bytes;
    const bytes = this.#bytes;
    for (let i = 0; i < leftLength; i++) joined[i] = bytes[leftStart + i]!;
    for (let i = leftLength; i < length; i++) joined[i] = bytes[rightStart + i - leftLength]!;
    return this.find(this.#joined, 0, length);
  }

  /** Number of the entry equal to `text.bytes[start..end)`, which is added if it is not there yet. */
  findOrAdd(text: Utf8Text, start: number, end: number): number {
    const at = this.#locate(text, start, end);
    return this.#slots[at + 2] === 0 ? this.#append(at, text, start, end) : this.#slots[at + 3]!;
  }

  /** Number of the entry equal to `bytes`, or ABSENT. */
  findBytes(bytes: Uint8Array): number {
    return this.find(paddedText(bytes), 0, bytes.length);
  }

  /** Number of the entry equal to `bytes`, which is added if it is not there yet. */
  findOrAddBytes(bytes: Uint8Array): number {
    return this.findOrAdd(paddedText(bytes), 0, bytes.length);
  }

  /**
   * Adds an entry that has a number and bytes but that `find` never answers with: a special token, or, with no bytes,
   * a hole in the vocabulary.
   */
  addHidden(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    const start = this.#starts[this.#size]!;
    this.#bytes.set(bytes, start);
    this.#starts[++this.#size] = start + bytes.length;
    this.#hidden.add(this.#size - 1);
  }

  /** True for an entry that `find` never answers with. */
  isHidden(index: number): boolean {
    return this.#hidden.has(index);
  }

  /** Bytes of an entry, empty for a hole; a view that must not be written to. */
  entry(index: number): Uint8Array {
    invariant(index >= 0 && index < this.#size, `internal: entry ${index} of ${this.#size}`);
    return this.#bytes.subarray(this.#starts[index]!, this.#starts[index + 1]!);
  }

  /** Number of bytes of an entry, 0 for a hole. */
  entryLength(index: number): number {
    return this.#starts[index + 1]! - this.#starts[index]!;
  }

  #hasTail(entry: number, bytes: Uint8Array, start: number, end: number): boolean {
    const own = this.#bytes;
    let at = this.#starts[entry]! + HEAD_BYTES;
    for (let i = start; i < end; i++) if (own[at++] !== bytes[i]) return false;
    return true;
  }

  /** Place in #slots of the entry equal to `text.bytes[start..end)`, or of the empty slot where it would go. */
  #locate(text: Utf8Text, start: number, end: number): number {
    const { bytes, view } = text;
    const length = end - start;
    const low = firstWord(view, start, length);
    const high = secondWord(view, start, length);
    let hash = headHash(low, high, length);
    // FNV-1a over the rest
    for (let i = start + HEAD_BYTES; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (finalHash(hash) >>> this.#shift) * SLOT_WORDS;
    for (; slots[at + 2] !== 0; at = (at + SLOT_WORDS) & mask) {
      if (slots[at] !== low || slots[at + 1] !== high || slots[at + 2] !== length) continue;
      if (length <= HEAD_BYTES || this.#hasTail(slots[at + 3]!, bytes, start + HEAD_BYTES, end)) break;
    }
    return at;
  }

  #append(at: number, text: Utf8Text, start: number, end: number): number {
    const length = end - start;
    invariant(length > 0, 'internal: an empty byte string has no entry');
    if (this.#reserve(length)) at = this.#locate(text, start, end);
    const index = this.#size++;
    const own = this.#starts[index]!;
    for (let i = 0; i < length; i++) this.#bytes[own + i] = text.bytes[start + i]!;
    this.#starts[index + 1] = own + length;
    if (length > this.#maxLength) this.#maxLength = length;
    this.#fill(at, text, start, length, index);
    return index;
  }

  #fill(at: number, { view }: Utf8Text, start: number, length: number, index: number): void {
    const slots = this.#slots;
    const low = firstWord(view, start, length);
    const high = secondWord(view, start, length);
    slots[at] = low;
    slots[at + 1] = high;
    slots[at + 2] = length;
    slots[at + 3] = index;
    // Longer strings are not looked up by tag; theirs only has to say that the slot is taken.
    this.#tags[at / SLOT_WORDS] = length <= HEAD_BYTES ? tagOf(finalHash(headHash(low, high, length))) : 1;
  }

  /** Makes room for one entry; true if the slots have moved. */
  #reserve(moreBytes: number): boolean {
    const bytesNeeded = this.#starts[this.#size]! + moreBytes + HEAD_BYTES;
    if (bytesNeeded > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(bytesNeeded, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    if (this.#size < this.#capacity) return false;
    const slots = new Int32Array(this.#slots.length * 2);
    this.#capacity = Math.floor((slots.length / SLOT_WORDS) * MAX_LOAD);
    const starts = new Uint32Array(this.#capacity + 1);
    starts.set(this.#starts);
    this.#starts = starts;
    this.#slots = slots;
    this.#tags = new Uint8Array(slots.length / SLOT_WORDS);
    this.#shift--;
    this.#placeAll();
    return true;
  }

  #placeAll(): void {
    const text = { bytes: this.#bytes, view: this.#view, length: this.#bytes.length };
    for (let index = 0; index < this.#size; index++) {
      const start = this.#starts[index]!;
      const length = this.#starts[index + 1]! - start;
      if (this.#hidden.has(index)) continue;
      this.#fill(this.#locate(text, start, start + length), text, start, length, index);
    }
  }
}

function headHash(low: number, high: number, length: number): number {
  return Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1) ^ length;
}

// Multiplication mixes upwards, so slots are taken from the high bits, after folding them once.
function finalHash(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
}

function tagOf(hash: number): number {
  return (hash & 0x7f) | 0x80;
}

/** Bytes 0..3 as a little-endian number, zeros from `length` on. */
function firstWord(view: DataView, start: number, length: number): number {
  const word = view.getInt32(start, true);
  return length >= 4 ? word : word & (0xffffff >>> (24 - 8 * length));
}

/** Bytes 4..7 likewise. */
function secondWord(view: DataView, start: number, length: number): number {
  if (length <= 4) return 0;
  const word = view.getInt32(start + 4, true);
  return length >= HEAD_BYTES ? word : word & (0xffffff >>> (56 - 8 * length));
}

function paddedText(bytes: Uint8Array): Utf8Text {
  const padded = new Uint8Array(bytes.length + HEAD_BYTES);
  padded.set(bytes);
  return { bytes: padded, view: new DataView(padded.buffer), length: bytes.length };
}

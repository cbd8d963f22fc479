/**
 * What a piece is before any merge: the ids of its bytes, or of its characters.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { sequenceLength, type Utf8Text } from './utf8.ts';

export interface Symbols {
  /** Writes the ids of `text.bytes[start..end)` into `ids`, which has room for one a byte; how many there are. */
  write(text: Utf8Text, start: number, end: number, ids: Int32Array): number;
  /** True for a byte that no token stands for. */
  isMissing(byte: number): boolean;
}

/** What a byte without a token becomes: nothing (null), or a token, one for a run of such bytes if fused. */
export type UnknownToken = { id: number; isFused: boolean } | null;

/** One id a byte. */
export class ByteSymbols implements Symbols {
  readonly #byteIds: Int32Array;
  readonly #unknown: UnknownToken;

  /** `byteIds` holds the id of each of the 256 bytes, ABSENT for those without a token. */
  constructor(byteIds: Int32Array, unknown: UnknownToken) {
    this.#byteIds = byteIds;
    this.#unknown = unknown;
  }

  write({ bytes }: Utf8Text, start: number, end: number, ids: Int32Array): number {
    const byteIds = this.#byteIds;
    const unknown = this.#unknown;
    let count = 0;
    for (let i = start; i < end; i++) {
      const id = byteIds[bytes[i]!]!;
      if (id !== ABSENT) ids[count++] = id;
      else if (unknown !== null && !(unknown.isFused && count > 0 && ids[count - 1] === unknown.id)) {
        ids[count++] = unknown.id;
      }
    }
    return count;
  }

  isMissing(byte: number): boolean {
    return this.#byteIds[byte] === ABSENT;
  }
}

/** One id a character; a character that is no token becomes its bytes. */
export class CharSymbols implements Symbols {
  readonly #vocab: ByteTable;
  readonly #byteIds: Int32Array;

  constructor(vocab: ByteTable, byteIds: Int32Array) {
    this.#vocab = vocab;
    this.#byteIds = byteIds;
  }

  write(text: Utf8Text, start: number, end: number, ids: Int32Array): number {
    let count = 0;
    for (let pos = start; pos < end;) {
      const next = pos + sequenceLength(text.bytes[pos]!);
      const id = this.#vocab.find(text, pos, next);
      if (id === ABSENT) for (let i = pos; i < next; i++) ids[count++] = this.#byteIds[text.bytes[i]!]!;
      else ids[count++] = id;
      pos = next;
    }
    return count;
  }

  isMissing(): boolean {
    return false;
  }
}

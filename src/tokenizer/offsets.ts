/**
 * Which part of a text each token stands for.
 */
import type { Segment } from './added-tokens.ts';
import type { ByteTable } from './byte-table.ts';

/** Ids, and for each the start and end of its part of the text in UTF-16 units. */
export type EncodingWithOffsets = { ids: number[]; starts: number[]; ends: number[] };

export class OffsetWriter {
  readonly #vocab: ByteTable;
  readonly result: EncodingWithOffsets = { ids: [], starts: [], ends: [] };

  constructor(vocab: ByteTable) {
    this.#vocab = vocab;
  }

  /** A token whose part of the text is known. */
  writeToken(id: number, start: number, end: number): void {
    this.result.ids.push(id);
    this.result.starts.push(start);
    this.result.ends.push(end);
  }

  /** The tokens of a segment; `prepared` is its text with whatever encoding put before it. */
  writeText(ids: Uint32Array, prepared: string, { start, end }: Segment): void {
    const shift = end - prepared.length; // from a place in `prepared` to one in the whole text
    const cursor = new CharCursor(prepared);
    for (const id of ids) {
      const first = cursor.charStart;
      cursor.advance(this.#vocab.entryLength(id));
      this.writeToken(id, Math.max(first + shift, start), Math.max(cursor.charEnd + shift, start));
    }
  }
}

/** Walks a string by UTF-8 bytes. */
class CharCursor {
  readonly #text: string;
  #bytesInto = 0; // bytes of the character at charStart that have been passed
  charStart = 0;
  /** End of the last character that has been entered. */
  charEnd = 0;

  constructor(text: string) {
    this.#text = text;
  }

  advance(numBytes: number): void {
    let left = numBytes;
    while (left > 0) {
      const codePoint = this.#text.codePointAt(this.charStart) ?? 0;
      const numUnits = codePoint > 0xffff ? 2 : 1;
      const charBytes = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
      this.charEnd = this.charStart + numUnits;
      const step = Math.min(left, charBytes - this.#bytesInto);
      left -= step;
      this.#bytesInto += step;
      if (this.#bytesInto === charBytes) {
        this.charStart = this.charEnd;
        this.#bytesInto = 0;
      }
    }
  }
}

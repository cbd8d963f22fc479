/**
 * Which part of a text each token stands for.
 */
import type { Segment } from './added-tokens.ts';
import type { BpeModel } from './bpe-model.ts';
import { ABSENT } from './byte-table.ts';
import { sequenceLength, utf8Encode } from './utf8.ts';

/** Ids, and for each the start and end of its part of the text in UTF-16 units. */
export type EncodingWithOffsets = { ids: number[]; starts: number[]; ends: number[] };

export class OffsetWriter {
  readonly #model: BpeModel;
  readonly result: EncodingWithOffsets = { ids: [], starts: [], ends: [] };

  constructor(model: BpeModel) {
    this.#model = model;
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
    const { bytes, starts, ends } = unitsOfBytes(prepared);
    const inText = (pos: number) => Math.max(pos + shift, start);
    let at = 0;
    for (const id of ids) {
      at = this.#skipDropped(bytes, at);
      const first = at;
      const last = this.#tokenEnd(id, bytes, at) - 1;
      at = last + 1;
      this.writeToken(id, inText(starts[first] ?? prepared.length), inText(ends[last] ?? prepared.length));
    }
  }

  #skipDropped(bytes: Uint8Array, at: number): number {
    const { text } = this.#model;
    if (text.kind === 'byte-level' && text.unknown === null) {
      while (at < bytes.length && text.byteIds[bytes[at]!] === ABSENT) at++;
    }
    return at;
  }

  /** End of the bytes that token `id` at `at` was made of: its own, and dropped ones among them. */
  #tokenEnd(id: number, bytes: Uint8Array, at: number): number {
    const { vocab, text } = this.#model;
    if (text.kind === 'byte-level' && id === text.unknown?.id) {
      const isMissing = (pos: number) => pos < bytes.length && text.byteIds[bytes[pos]!] === ABSENT;
      if (!isMissing(at)) return at;
      do at++;
      while (text.unknown.isFused && isMissing(at));
      return at;
    }
    for (let left = vocab.entryLength(id); left > 0; left--) at = this.#skipDropped(bytes, at) + 1;
    return at;
  }
}

/** UTF-8 of a string, and for each byte where its character starts and ends in the string. */
function unitsOfBytes(text: string): { bytes: Uint8Array; starts: Uint32Array; ends: Uint32Array } {
  const bytes = utf8Encode(text);
  const starts = new Uint32Array(bytes.length);
  const ends = new Uint32Array(bytes.length);
  let unit = 0;
  for (let at = 0; at < bytes.length;) {
    const charBytes = sequenceLength(bytes[at]!);
    const numUnits = charBytes === 4 ? 2 : 1;
    starts.fill(unit, at, at + charBytes);
    ends.fill(unit + numUnits, at, at + charBytes);
    unit += numUnits;
    at += charBytes;
  }
  return { bytes, starts, ends };
}

/**
 * Places inside a piece that no token of the vocabulary reaches across: no merge can cross them either, so what lies between
 * them can be merged apart. Makes long runs of letters without spaces (Chinese, Japanese, Thai) as cheap as words.
 * Places between two ASCII characters are never looked at: nearly all pairs of letters are in some token.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { PairTable } from './pair-table.ts';
import { sequenceLength } from './utf8.ts';

const CONTINUATION = 0x80; // bytes 0x80 to 0xbf continue a character
const CONTINUATION_END = 0xc0;

export class CutPoints {
  // What stands left and right of a character border inside some token: a character, or as much of one as the token has.
  readonly #crossings = new PairTable(1 << 14);
  readonly #partialLefts = new Set<number>();
  readonly #partialRights = new Set<number>();

  constructor(vocab: ByteTable) {
    for (let id = 0; id < vocab.size; id++) {
      if (!vocab.isHidden(id) && vocab.entryLength(id) > 1) this.#addToken(vocab.entry(id));
    }
  }

  /** End of the part that starts at `pos` and that no token connects with what follows it; `end` at the latest. */
  next(bytes: Uint8Array, pos: number, end: number): number {
    let start = pos;
    let border = pos + sequenceLength(bytes[pos]!);
    while (border < end) {
      const after = border + sequenceLength(bytes[border]!);
      if ((after - border > 1 || border - start > 1) && !this.#isCrossed(bytes, start, border, after)) return border;
      start = border;
      border = after;
    }
    return end;
  }

  /** Whether a token holds an end of the character [start, border) and a beginning of the character [border, after). */
  #isCrossed(bytes: Uint8Array, start: number, border: number, after: number): boolean {
    for (let from = start; from < border; from++) {
      const left = packed(bytes, from, border);
      if (from > start && !this.#partialLefts.has(left)) continue;
      if (this.#crossings.find(left, packed(bytes, border, after)) !== ABSENT) return true;
      for (let to = border + 1; to < after; to++) {
        const right = packed(bytes, border, to);
        if (this.#partialRights.has(right) && this.#crossings.find(left, right) !== ABSENT) return true;
      }
    }
    return false;
  }

  #addToken(token: Uint8Array): void {
    let start = 0;
    for (let border = characterEnd(token, 0); border < token.length;) {
      const after = characterEnd(token, border);
      if (token[border]! >= CONTINUATION || token[border - 1]! >= CONTINUATION) {
        const left = packed(token, start, border);
        const right = packed(token, border, after);
        if (isContinuation(token[start]!)) this.#partialLefts.add(left);
        if (after - border < sequenceLength(token[border]!)) this.#partialRights.add(right);
        this.#crossings.findOrAdd(left, right);
      }
      start = border;
      border = after;
    }
  }
}

function isContinuation(byte: number): boolean {
  return byte >= CONTINUATION && byte < CONTINUATION_END;
}

/** End of the character, or of the part of one, that starts at `pos`. */
function characterEnd(token: Uint8Array, pos: number): number {
  let end = pos + 1;
  while (end < token.length && isContinuation(token[end]!)) end++;
  return end;
}

/** Up to 4 bytes in one number; different bytes, different numbers, because only ASCII text holds a zero. */
function packed(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) value = (value << 8) | bytes[i]!;
  return value;
}

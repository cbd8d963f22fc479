/**
 * Plain text to token ids by byte-pair encoding: cut into pieces, look each piece up whole, merge what is not found.
 * Knows nothing about special tokens, files or chats.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { mergePairs } from './byte-pair-merge.ts';
import { CutPoints } from './cut-points.ts';
import { IdSink } from './id-sink.ts';
import type { MergeRules } from './merge-rules.ts';
import { PieceCache } from './piece-cache.ts';
import type { Scanner } from './scanner.ts';
import type { Symbols } from './symbols.ts';
import { Utf8Scratch, type Utf8Text } from './utf8.ts';

/** How text is cut into pieces: by a scanner over UTF-8, or by a function that gives the pieces as strings. */
export type Splitter = { scan: Scanner } | { split: (text: string) => Iterable<string> };

export type BytePairEncoderParts = {
  vocab: ByteTable;
  rules: MergeRules;
  splitter: Splitter;
  symbols: Symbols;
  /** A piece that is a token becomes that token even if no merges lead to it (tiktoken; `ignore_merges` of Hugging Face). */
  ignoresMerges: boolean;
};

// Whether merging the bytes of a token gives that token again; found out when the token is first met.
const UNKNOWN = 0;
const WHOLE = 1;
const NOT_WHOLE = 2;

// Shorter pieces are merged at once: looking for places to cut would cost more.
const MIN_CUT_BYTES = 13;

export class BytePairEncoder {
  readonly #parts: BytePairEncoderParts;
  readonly #scratch = new Utf8Scratch();
  readonly #cache = new PieceCache();
  readonly #partCache = new PieceCache();
  readonly #isWhole: Uint8Array;
  #cutPoints: CutPoints | null = null;
  readonly #trial = new IdSink();
  #ids = new Int32Array(256);

  constructor(parts: BytePairEncoderParts) {
    this.#parts = parts;
    this.#isWhole = new Uint8Array(parts.vocab.size);
  }

  /** Appends the ids of `text`, in which nothing is special. */
  encode(text: string, sink: IdSink): void {
    const { splitter } = this.#parts;
    if ('scan' in splitter) {
      const utf8 = this.#scratch.encode(text);
      const { bytes, length } = utf8;
      const { scan } = splitter;
      for (let pos = 0; pos < length;) {
        const end = scan(bytes, pos, length);
        this.#encodePiece(utf8, pos, end, sink);
        pos = end;
      }
    } else {
      for (const piece of splitter.split(text)) {
        const utf8 = this.#scratch.encode(piece);
        this.#encodePiece(utf8, 0, utf8.length, sink);
      }
    }
  }

  #encodePiece(utf8: Utf8Text, start: number, end: number, sink: IdSink): void {
    const { vocab, ignoresMerges } = this.#parts;
    const id = vocab.find(utf8, start, end);
    if (id !== ABSENT && (ignoresMerges || this.#becomesWhole(id, utf8, start, end))) {
      sink.push(id);
    } else if (!this.#cache.appendCached(utf8, start, end, sink)) {
      const firstId = sink.length;
      if (end - start >= MIN_CUT_BYTES && this.#canBeCut(utf8.bytes, start, end)) {
        this.#encodeParts(utf8, start, end, sink);
      } else {
        this.#merge(utf8, start, end, sink);
      }
      this.#cache.remember(utf8, start, end, sink, firstId);
    }
  }

  /** Merges what lies between the places that no merge crosses. */
  #encodeParts(utf8: Utf8Text, start: number, end: number, sink: IdSink): void {
    this.#cutPoints ??= new CutPoints(this.#parts.vocab);
    for (let pos = start; pos < end;) {
      const next = this.#cutPoints.next(utf8.bytes, pos, end);
      const id = this.#parts.vocab.find(utf8, pos, next);
      if (id !== ABSENT && this.#becomesWhole(id, utf8, pos, next)) {
        sink.push(id);
      } else if (!this.#partCache.appendCached(utf8, pos, next, sink)) {
        const firstId = sink.length;
        this.#merge(utf8, pos, next, sink);
        this.#partCache.remember(utf8, pos, next, sink, firstId);
      }
      pos = next;
    }
  }

  #canBeCut(bytes: Uint8Array, start: number, end: number): boolean {
    let hasNonAscii = false;
    for (let i = start; i < end; i++) {
      // Where a byte is dropped its neighbours meet, and may merge.
      if (this.#parts.symbols.isMissing(bytes[i]!)) return false;
      if (bytes[i]! >= 0x80) hasNonAscii = true;
    }
    return hasNonAscii;
  }

  #merge(utf8: Utf8Text, start: number, end: number, sink: IdSink): void {
    const { symbols, rules } = this.#parts;
    const length = end - start;
    if (length <= this.#ids.length) {
      mergePairs(rules, this.#ids, symbols.write(utf8, start, end, this.#ids), sink);
    } else {
      const ids = new Int32Array(length);
      mergePairs(rules, ids, symbols.write(utf8, start, end, ids), sink);
    }
  }

  #becomesWhole(id: number, utf8: Utf8Text, start: number, end: number): boolean {
    if (this.#isWhole[id] === UNKNOWN) {
      this.#trial.length = 0;
      this.#merge(utf8, start, end, this.#trial);
      const merged = this.#trial.view();
      this.#isWhole[id] = merged.length === 1 && merged[0] === id ? WHOLE : NOT_WHOLE;
    }
    return this.#isWhole[id] === WHOLE;
  }
}

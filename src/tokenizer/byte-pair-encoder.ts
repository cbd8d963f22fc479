/**
 * Plain text to token ids by byte-pair encoding: cut into pieces, look each piece up whole, merge what is not found.
 * Knows nothing about special tokens, files or chats.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { mergePairs } from './byte-pair-merge.ts';
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

export class BytePairEncoder {
  readonly #parts: BytePairEncoderParts;
  readonly #scratch = new Utf8Scratch();
  readonly #cache = new PieceCache();
  readonly #isWhole: Uint8Array;
  readonly #trial = new IdSink();
  #ids = new Int32Array(256);

  constructor(parts: BytePairEncoderParts) {
    this.#parts = parts;
    this.#isWhole = new Uint8Array(parts.vocab.size).fill(parts.ignoresMerges ? WHOLE : UNKNOWN);
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
    const id = this.#parts.vocab.find(utf8, start, end);
    if (id !== ABSENT && (this.#isWhole[id] === WHOLE || this.#becomesWhole(id, utf8, start, end))) {
      sink.push(id);
      return;
    }
    if (this.#cache.appendCached(utf8, start, end, sink)) return;
    const firstId = sink.length;
    this.#merge(utf8, start, end, sink);
    this.#cache.remember(utf8, start, end, sink, firstId);
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

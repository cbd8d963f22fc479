/**
 * Plain text to token ids by byte-level byte-pair encoding: cut into pieces, look each piece up whole, merge what is not found.
 * Knows nothing about special tokens, files or chats.
 */
import { ABSENT, ByteTable } from './byte-table.ts';
import { BytePairMerger } from './byte-pair-merge.ts';
import type { IdSink } from './id-sink.ts';
import type { MergeRules } from './merge-rules.ts';
import { PieceCache } from './piece-cache.ts';
import type { Scanner } from './scanner.ts';
import { Utf8Scratch, type Utf8Text } from './utf8.ts';
import { FormatError } from '../util/errors.ts';

export class BytePairEncoder {
  readonly #vocab: ByteTable;
  readonly #merger: BytePairMerger;
  readonly #scan: Scanner;
  readonly #scratch = new Utf8Scratch();
  readonly #byteIds: Int32Array;
  readonly #cache = new PieceCache();

  constructor(vocab: ByteTable, rules: MergeRules, scan: Scanner) {
    this.#vocab = vocab;
    this.#merger = new BytePairMerger(rules);
    this.#scan = scan;
    this.#byteIds = singleByteIds(vocab);
  }

  /** Appends the ids of `text`, in which nothing is special. */
  encode(text: string, sink: IdSink): void {
    const utf8 = this.#scratch.encode(text);
    const { bytes, length } = utf8;
    const vocab = this.#vocab;
    const scan = this.#scan;
    for (let pos = 0; pos < length;) {
      const end = scan(bytes, pos, length);
      const id = vocab.find(utf8, pos, end);
      if (id === ABSENT) this.#encodeRarePiece(utf8, pos, end, sink);
      else sink.push(id);
      pos = end;
    }
  }

  #encodeRarePiece(utf8: Utf8Text, start: number, end: number, sink: IdSink): void {
    if (this.#cache.appendCached(utf8, start, end, sink)) return;
    const firstId = sink.length;
    this.#merger.merge(utf8.bytes, start, end, this.#byteIds, sink);
    this.#cache.remember(utf8, start, end, sink, firstId);
  }
}

function singleByteIds(vocab: ByteTable): Int32Array {
  const ids = Int32Array.from({ length: 256 }, (_, byte) => vocab.findBytes(Uint8Array.of(byte)));
  const missing = ids.indexOf(ABSENT);
  if (missing >= 0) {
    throw new FormatError(
      `The vocabulary lacks a token for the single byte 0x${missing.toString(16).padStart(2, '0')}; ` +
        'a byte-level vocabulary must hold all 256, so use the complete tokenizer file.',
    );
  }
  return ids;
}

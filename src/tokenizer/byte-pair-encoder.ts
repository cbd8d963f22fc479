/**
 * Plain text to token ids by byte-level byte-pair encoding: cut into pieces, look each piece up whole, merge what is not found.
 * Knows nothing about special tokens, files or chats.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { BytePairMerger } from './byte-pair-merge.ts';
import type { IdSink } from './id-sink.ts';
import type { MergeRules } from './merge-rules.ts';
import type { Scanner } from './scan-llama3.ts';
import { Utf8Scratch } from './utf8.ts';
import { FormatError } from '../util/errors.ts';

export class BytePairEncoder {
  readonly #vocab: ByteTable;
  readonly #merger: BytePairMerger;
  readonly #scan: Scanner;
  readonly #scratch = new Utf8Scratch();
  readonly #byteIds: Int32Array;

  constructor(vocab: ByteTable, rules: MergeRules, scan: Scanner) {
    this.#vocab = vocab;
    this.#merger = new BytePairMerger(rules);
    this.#scan = scan;
    this.#byteIds = singleByteIds(vocab);
  }

  /** Appends the ids of `text`, in which nothing is special. */
  encode(text: string, sink: IdSink): void {
    const scratch = this.#scratch;
    scratch.write(text);
    const { bytes, length } = scratch;
    const vocab = this.#vocab;
    const scan = this.#scan;
    for (let pos = 0; pos < length;) {
      const end = scan(bytes, pos, length);
      const id = vocab.find(bytes, pos, end);
      if (id === ABSENT) this.#merger.merge(bytes, pos, end, this.#byteIds, sink);
      else sink.push(id);
      pos = end;
    }
    scratch.release();
  }
}

function singleByteIds(vocab: ByteTable): Int32Array {
  const ids = Int32Array.from({ length: 256 }, (_, byte) => vocab.find(Uint8Array.of(byte), 0, 1));
  const missing = ids.indexOf(ABSENT);
  if (missing >= 0) {
    throw new FormatError(
      `The vocabulary lacks a token for the single byte 0x${missing.toString(16).padStart(2, '0')}; ` +
        'a byte-level vocabulary must hold all 256, so use the complete tokenizer file.',
    );
  }
  return ids;
}

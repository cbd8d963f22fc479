/**
 * How a text becomes tokens, step by step, for people to look at: the pieces it is cut into, and the merges of each in order.
 * Written for clarity; `byte-pair-merge.ts` gives the same ids fast.
 */
import type { BpeModel } from './bpe-model.ts';
import { ABSENT } from './byte-table.ts';
import type { Splitter } from './byte-pair-encoder.ts';
import { ImpliedMerges, NO_MERGE, type MergeRules } from './merge-rules.ts';
import { ByteSymbols } from './symbols.ts';
import { READ_AHEAD_BYTES, Utf8Scratch, utf8Decode, utf8Encode } from './utf8.ts';
import { ConfigError } from '../util/errors.ts';

/** One merge: token `at` and the one after it became `id`. */
export interface MergeStep {
  readonly at: number;
  readonly id: number;
  /** Place of the merge in the order of all merges: lower ones go first. */
  readonly rank: number;
  /** The tokens after it. */
  readonly ids: readonly number[];
}

/** One piece of pre-tokenised text. */
export interface PieceMerges {
  readonly text: string;
  /** The tokens it starts as: its bytes. */
  readonly symbols: readonly number[];
  readonly steps: readonly MergeStep[];
  /** What it ends as. Differs from the last step where the piece is looked up whole although no merges lead there. */
  readonly ids: readonly number[];
}

/** The pieces of a text without special tokens and their merges; throws ConfigError for a tokenizer that is not byte-level. */
export function mergeSteps(model: BpeModel, text: string): PieceMerges[] {
  if (model.text.kind !== 'byte-level') {
    throw new ConfigError('Merge steps can be shown for byte-level tokenizers only; this one works on characters.');
  }
  const { byteIds, unknown, preTokenizer } = model.text;
  const symbols = new ByteSymbols(byteIds, unknown);
  const rules = model.merges ?? new ImpliedMerges(model.vocab);
  return piecesOf(text, preTokenizer.splitter).map((piece) => {
    const utf8 = new Utf8Scratch().encode(piece);
    const buffer = new Int32Array(utf8.length);
    const ids = [...buffer.subarray(0, symbols.write(utf8, 0, utf8.length, buffer))];
    const steps = stepsOf(ids, rules);
    const whole = model.ignoresMerges ? model.vocab.findBytes(utf8Encode(piece)) : ABSENT;
    return { text: piece, symbols: ids, steps, ids: whole === ABSENT ? (steps.at(-1)?.ids ?? ids) : [whole] };
  });
}

function piecesOf(text: string, splitter: Splitter): string[] {
  if ('split' in splitter) return Array.from(splitter.split(text));
  const bytes = utf8Encode(text);
  const padded = new Uint8Array(bytes.length + READ_AHEAD_BYTES);
  padded.set(bytes);
  const pieces: string[] = [];
  for (let pos = 0; pos < bytes.length;) {
    const end = splitter.scan(padded, pos, bytes.length);
    pieces.push(utf8Decode(bytes.subarray(pos, end)));
    pos = end;
  }
  return pieces;
}

function stepsOf(symbols: readonly number[], rules: MergeRules): MergeStep[] {
  const steps: MergeStep[] = [];
  for (let ids = symbols; ;) {
    let [rank, at] = [NO_MERGE, 0];
    for (let i = 0; i + 1 < ids.length; i++) {
      const found = rules.rank(ids[i]!, ids[i + 1]!);
      if (found < rank) [rank, at] = [found, i];
    }
    if (rank === NO_MERGE) return steps;
    const id = rules.mergedId(ids[at]!, ids[at + 1]!, rank);
    ids = [...ids.slice(0, at), id, ...ids.slice(at + 2)];
    steps.push({ at, id, rank, ids });
  }
}

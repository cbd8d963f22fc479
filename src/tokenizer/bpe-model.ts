/**
 * What a byte-pair tokenizer is, whatever file it came from: vocabulary, merges, and how text becomes the first symbols.
 * Special tokens are hidden entries of the vocabulary.
 */
import { ABSENT, type ByteTable } from './byte-table.ts';
import { BytePairEncoder } from './byte-pair-encoder.ts';
import type { IdSink } from './id-sink.ts';
import { ImpliedMerges, type ListedMerges } from './merge-rules.ts';
import type { PreTokenizer } from './pre-tokenizer.ts';
import { scanSpaceRuns, scanWhole } from './scan-spaces.ts';
import { ByteSymbols, CharSymbols, type UnknownToken } from './symbols.ts';
import { FormatError } from '../util/errors.ts';

/** Symbols are bytes; text is cut by patterns (GPT-2, Llama 3). */
export type ByteLevelText = {
  kind: 'byte-level';
  preTokenizer: PreTokenizer;
  /** Ids of the 256 single bytes, ABSENT for those that are no token. */
  byteIds: Int32Array;
  unknown: UnknownToken;
};

/** Symbols are characters, unknown ones their bytes; words begin with their space (SentencePiece: Llama 2, TinyLlama). */
export type SentencePieceText = {
  kind: 'sentencepiece';
  /** Which stretches of text between special tokens get a space put before them. */
  spacePrefix: 'always' | 'first' | 'never';
  /** Put it there even if the stretch begins with a space. */
  prefixesSpaces: boolean;
  /** Ids of the 256 tokens that stand for single bytes. */
  byteIds: Int32Array;
};

export type BpeModel = {
  /** Entry i is what token i stands for. */
  vocab: ByteTable;
  /** The merges listed in a file, or null where the vocabulary implies them. */
  merges: ListedMerges | null;
  /** For implied merges: score of each token, the higher the earlier; null where the id tells. */
  scores: Float32Array | null;
  ignoresMerges: boolean;
  text: ByteLevelText | SentencePieceText;
};

/** Turns stretches of text in which nothing is special into ids. */
export interface TextEncoding {
  /** `text` as it is encoded; longer than `text` by what is put before it. `isStart`: nothing comes before it. */
  prepare(text: string, isStart: boolean): string;
  /** Appends the ids of prepared text. */
  encode(prepared: string, sink: IdSink): void;
}

/** The encoding of a model. */
export function textEncoding(model: BpeModel): TextEncoding {
  return model.text.kind === 'byte-level'
    ? byteLevelEncoding(model, model.text)
    : sentencePieceEncoding(model, model.text);
}

function byteLevelEncoding({ vocab, merges, ignoresMerges }: BpeModel, text: ByteLevelText): TextEncoding {
  const encoder = new BytePairEncoder({
    vocab,
    rules: merges ?? new ImpliedMerges(vocab),
    splitter: text.preTokenizer.splitter,
    symbols: new ByteSymbols(text.byteIds, text.unknown),
    ignoresMerges,
  });
  return { prepare: (stretch) => stretch, encode: (prepared, sink) => encoder.encode(prepared, sink) };
}

function sentencePieceEncoding(model: BpeModel, text: SentencePieceText): TextEncoding {
  const { vocab, merges, scores, ignoresMerges } = model;
  const { spacePrefix, prefixesSpaces, byteIds } = text;
  const encoder = new BytePairEncoder({
    vocab,
    rules: merges ?? new ImpliedMerges(vocab, scores === null ? null : ranksByScore(scores)),
    splitter: { scan: spacesOnlyLead(vocab) ? scanSpaceRuns : scanWhole },
    symbols: new CharSymbols(vocab, byteIds),
    ignoresMerges,
  });
  return {
    prepare: (stretch, isStart) => {
      const spaced = stretch.replaceAll(WORD_MARK, ' ');
      const isWanted = spacePrefix === 'always' || (spacePrefix === 'first' && isStart);
      return isWanted && spaced !== '' && (prefixesSpaces || !spaced.startsWith(' ')) ? ` ${spaced}` : spaced;
    },
    encode: (prepared, sink) => encoder.encode(prepared, sink),
  };
}

/** SentencePiece writes a space as this character; in `vocab` it is a space again. */
export const WORD_MARK = '\u2581';
const SPACE = 0x20;

/** True if no token has a space after something else: then no merge crosses the beginning of a run of spaces. */
function spacesOnlyLead(vocab: ByteTable): boolean {
  for (let id = 0; id < vocab.size; id++) {
    if (vocab.isHidden(id)) continue;
    const bytes = vocab.entry(id);
    for (let i = 1; i < bytes.length; i++) if (bytes[i] === SPACE && bytes[i - 1] !== SPACE) return false;
  }
  return true;
}

/** Rank of each token: equal scores have equal ranks, so that the leftmost pair goes first. */
function ranksByScore(scores: Float32Array): Int32Array {
  const distinct = [...new Set(scores)].toSorted((a, b) => b - a);
  const rankOf = new Map(distinct.map((score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => rankOf.get(score)!);
}

/** Ids of the single bytes, ABSENT for those that are no token. */
export function singleByteIds(vocab: ByteTable): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => vocab.findBytes(Uint8Array.of(byte)));
}

/** The same of a vocabulary that must hold all 256, because no other token could stand for a missing one. */
export function allSingleByteIds(vocab: ByteTable): Int32Array {
  const ids = singleByteIds(vocab);
  const missing = ids.indexOf(ABSENT);
  if (missing >= 0) {
    throw new FormatError(
      `The vocabulary lacks a token for the single byte 0x${missing.toString(16).padStart(2, '0')}; ` +
        'it must hold all 256, so use the complete tokenizer file.',
    );
  }
  return ids;
}

/**
 * Puts a tokenizer of the Llama 3 kind together from a vocabulary numbered by rank.
 */
import { specialToken } from './added-tokens.ts';
import { allSingleByteIds } from './bpe-model.ts';
import type { ByteTable } from './byte-table.ts';
import { namedPreTokenizer } from './pre-tokenizer.ts';
import { BEGIN_OF_TEXT, END_OF_TEXT, knownStopIds, RIGHT_PAD } from './special-tokens.ts';
import { Tokenizer } from './tokenizer.ts';
import { utf8Encode } from './utf8.ts';

/** Tokenizer over `vocab`, which is taken over: the special tokens get the ids after the ranks, in this order. */
export function llama3Tokenizer(vocab: ByteTable, specialTokens: readonly string[]): Tokenizer {
  return llama3TokenizerWithIds(vocab, new Map(specialTokens.map((name, i) => [name, vocab.size + i])));
}

/** The same with given ids, all of them after the ranks. */
export function llama3TokenizerWithIds(vocab: ByteTable, specialTokens: ReadonlyMap<string, number>): Tokenizer {
  for (const [name, id] of [...specialTokens].toSorted(([, a], [, b]) => a - b)) {
    while (vocab.size < id) vocab.addHidden(new Uint8Array(0));
    vocab.addHidden(utf8Encode(name));
  }
  const idOf = (name: string) => specialTokens.get(name) ?? null;
  return new Tokenizer(
    {
      vocab,
      merges: null,
      scores: null,
      ignoresMerges: true,
      text: {
        kind: 'byte-level',
        preTokenizer: namedPreTokenizer('llama3'),
        byteIds: allSingleByteIds(vocab),
        unknown: null,
      },
    },
    [...specialTokens].map(([name, id]) => specialToken(name, id)),
    {
      bosId: idOf(BEGIN_OF_TEXT),
      eosId: idOf(END_OF_TEXT),
      padId: idOf(RIGHT_PAD),
      stopIds: knownStopIds(specialTokens),
      addsBos: specialTokens.has(BEGIN_OF_TEXT),
      addsEos: false,
    },
  );
}

/**
 * Puts a tokenizer with Llama 3's pattern together from a vocabulary numbered by rank.
 */
import { BytePairEncoder } from './byte-pair-encoder.ts';
import type { ByteTable } from './byte-table.ts';
import { ImpliedMerges } from './merge-rules.ts';
import { scanLlama3 } from './scan-llama3.ts';
import { Tokenizer } from './tokenizer.ts';

/** Tokenizer over `vocab`, whose special tokens get the ids after the ranks, in the order given or as mapped. */
export function llama3Tokenizer(
  vocab: ByteTable,
  specialTokens: readonly string[] | ReadonlyMap<string, number>,
): Tokenizer {
  const ids = Array.isArray(specialTokens)
    ? new Map<string, number>(specialTokens.map((name: string, i) => [name, vocab.size + i]))
    : (specialTokens as ReadonlyMap<string, number>);
  const encoding = new BytePairEncoder(vocab, new ImpliedMerges(vocab), scanLlama3);
  return new Tokenizer({ vocab, encoding, specialTokens: ids, pattern: 'llama3' });
}

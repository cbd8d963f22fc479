/**
 * The tokens of a vocabulary as constraints see them: byte strings in a trie, made once per tokenizer.
 */
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Tokens by their bytes; special tokens and those that end a reply are none of them. */
export class ConstraintVocabulary {
  readonly numIds: number;

  constructor(tokenizer: Tokenizer) {
    this.numIds = tokenizer.vocabSize;
  }
}

/**
 * Trains a byte-level BPE vocabulary: start from the 256 bytes, merge the most frequent pair of neighbours, repeat.
 * Counts are kept up to date merge by merge, never recounted; ties go to the pair of smaller ids, so the result is
 * the same on every machine. Source: Sennrich et al., arXiv:1508.07909, algorithm 1, on bytes (Radford et al. 2019).
 */
import { ByteTable } from './byte-table.ts';
import { countPieces } from './piece-counts.ts';
import { PairCounts } from './pair-counts.ts';
import { scanLlama3 } from './scan-llama3.ts';
import { TRAINED_SPECIAL_TOKENS } from './special-tokens.ts';
import { llama3Tokenizer } from './llama3-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

const NUM_BYTES = 256;

export type TrainBpeOptions = {
  /** Number of ids wanted, special tokens included. */
  vocabSize: number;
  /** Special tokens that get the last ids, in this order. */
  specialTokens?: readonly string[];
  /** Called now and then with the number of merges made and wanted. */
  onProgress?: (merges: number, wanted: number) => void;
};

/**
 * Tokenizer with Llama 3's pattern, trained on `texts`; pieces never cross from one text into the next.
 * Its vocabulary is smaller than asked for only if the texts hold no further pair to merge.
 */
export function trainBpe(texts: Iterable<string>, options: TrainBpeOptions): Tokenizer {
  const { vocabSize, specialTokens = TRAINED_SPECIAL_TOKENS, onProgress } = options;
  const smallest = NUM_BYTES + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < smallest) {
    throw new ConfigError(
      `vocabSize is ${vocabSize}, but the 256 bytes and ${specialTokens.length} special tokens need at least ${smallest}; ` +
        `ask for ${smallest} or more.`,
    );
  }
  if (new Set(specialTokens).size < specialTokens.length || specialTokens.includes('')) {
    throw new ConfigError('specialTokens holds an empty name or one name twice; give each token a name of its own.');
  }
  const wanted = vocabSize - smallest;
  const vocab = mergeMostFrequent(new PairCounts(countPieces(texts, scanLlama3)), wanted, onProgress);
  return llama3Tokenizer(vocab, specialTokens);
}

function mergeMostFrequent(
  pairs: PairCounts,
  wanted: number,
  onProgress: ((merges: number, wanted: number) => void) | undefined,
): ByteTable {
  const vocab = new ByteTable(NUM_BYTES + wanted);
  for (let byte = 0; byte < NUM_BYTES; byte++) vocab.findOrAddBytes(Uint8Array.of(byte));
  for (let merges = 0; merges < wanted;) {
    const pair = pairs.takeMostFrequent();
    if (pair === null) break;
    const bytes = new Uint8Array(vocab.entryLength(pair.left) + vocab.entryLength(pair.right));
    bytes.set(vocab.entry(pair.left));
    bytes.set(vocab.entry(pair.right), vocab.entryLength(pair.left));
    // Two pairs can spell the same bytes. The second one would be a token that encoding can never reach by its rank,
    // so it is merged into the token that is there already.
    const id = vocab.findOrAddBytes(bytes);
    pairs.merge(pair, id);
    if (vocab.size - NUM_BYTES > merges) {
      merges++;
      if (onProgress !== undefined && merges % 1000 === 0) onProgress(merges, wanted);
    }
  }
  return vocab;
}

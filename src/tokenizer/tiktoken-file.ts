/**
 * tiktoken's vocabulary format, one "base64 rank" a line, and the JSON of special tokens that stands beside it here.
 * Knows nothing about disks: takes and gives contents.
 */
import { ByteTable } from './byte-table.ts';
import { llama3Tokenizer, llama3TokenizerWithIds } from './llama3-tokenizer.ts';
import { badLine, RankLineReader, toBase64 } from './rank-lines.ts';
import { LLAMA31_SPECIAL_TOKENS, LLAMA3_SPECIAL_TOKENS } from './special-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { utf8Encode } from './utf8.ts';
import { MAX_HOLES } from './vocab-builder.ts';
import { ConfigError, FormatError } from '../util/errors.ts';
import { z } from 'zod';

/** Which generation's special tokens go with a vocabulary file of Meta's, which does not name them itself. */
export type Llama3Generation = '3.0' | '3.1';

const TYPICAL_LINE_BYTES = 16;

/** Number of lines of the file that Meta published, whose special tokens are known without a JSON. */
const META_NUM_RANKS = 128_000;

const PATTERN = 'llama3';

const specialTokensSchema = z.strictObject({
  pattern: z.literal(PATTERN),
  specialTokens: z.record(z.string().min(1), z.number().int().nonnegative()),
});

/** Tokenizer of a `tokenizer.model` in tiktoken's format and its JSON of special tokens. */
export function readTiktoken(modelFile: Uint8Array, specialTokensJson: string): Tokenizer {
  const vocab = readTiktokenRanks(modelFile);
  const ids = new Map(Object.entries(parseSpecialTokens(specialTokensJson).specialTokens));
  if (new Set(ids.values()).size < ids.size) {
    throw new FormatError('The special tokens file gives one id to two tokens; each special token needs its own id.');
  }
  for (const [name, id] of ids) {
    if (id > vocab.size + MAX_HOLES) {
      throw new FormatError(`Special token ${name} has id ${id}, far above the vocabulary of ${vocab.size}.`);
    }
    if (id < vocab.size) {
      throw new FormatError(
        `Special token ${name} has id ${id}, which is a rank of the vocabulary of ${vocab.size}; ` +
          'special tokens come after the ranks.',
      );
    }
  }
  return llama3TokenizerWithIds(vocab, ids);
}

/** Tokenizer of the `tokenizer.model` that Meta ships with Llama 3, with the special tokens of that generation. */
export function readMetaTokenizer(modelFile: Uint8Array, generation: Llama3Generation = '3.1'): Tokenizer {
  const vocab = readTiktokenRanks(modelFile);
  if (vocab.size !== META_NUM_RANKS) {
    throw new ConfigError(
      `This tokenizer.model has ${vocab.size} ranks, Meta's has ${META_NUM_RANKS}; ` +
        'put the JSON of its special tokens beside it.',
    );
  }
  return llama3Tokenizer(vocab, generation === '3.0' ? LLAMA3_SPECIAL_TOKENS : LLAMA31_SPECIAL_TOKENS);
}

/** Contents of `tokenizer.model` and of the JSON of special tokens, equal byte for byte for equal tokenizers. */
export function writeTiktoken(tokenizer: Tokenizer): { modelFile: Uint8Array; specialTokensJson: string } {
  const { vocab, merges, text } = tokenizer.model;
  if (merges !== null || text.kind !== 'byte-level' || text.preTokenizer.name !== PATTERN) {
    throw new ConfigError(
      "tiktoken's format holds only vocabularies with the Llama 3 pattern and no list of merges; " +
        'save this tokenizer as tokenizer.json.',
    );
  }
  const lines: string[] = [];
  for (let rank = 0; rank < vocab.size; rank++) {
    if (!vocab.isHidden(rank)) lines.push(`${toBase64(vocab.entry(rank))} ${rank}\n`);
  }
  const specialTokens = Object.fromEntries(tokenizer.specialTokens);
  return {
    modelFile: utf8Encode(lines.join('')),
    specialTokensJson: `${JSON.stringify({ pattern: PATTERN, specialTokens }, null, 2)}\n`,
  };
}

function parseSpecialTokens(json: string): z.infer<typeof specialTokensSchema> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new FormatError('The special tokens file is not JSON; restore it or train the tokenizer again.', { cause });
  }
  const result = specialTokensSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new FormatError(
    `The special tokens file is wrong at ${issue.path.join('.') || 'its top'}: ${issue.message}; ` +
      'restore it or train the tokenizer again.',
  );
}

/** Vocabulary of a file in tiktoken's format; ranks must ascend line by line. */
export function readTiktokenRanks(file: Uint8Array): ByteTable {
  const reader = new RankLineReader(file);
  const vocab = new ByteTable(Math.max(Math.ceil(file.length / TYPICAL_LINE_BYTES), 256), file.length);
  while (reader.next()) {
    if (reader.rank < vocab.size || reader.rank > reader.line + MAX_HOLES) throw badLine(reader.line);
    while (vocab.size < reader.rank) vocab.addHidden(new Uint8Array(0));
    if (vocab.findOrAdd(reader.token, 0, reader.tokenLength) !== reader.rank) {
      throw new FormatError(
        `Line ${reader.line} of the tokenizer file repeats a token; use an undamaged tokenizer.model.`,
      );
    }
  }
  if (vocab.size === 0) throw new FormatError('The tokenizer file is empty; use a complete tokenizer.model.');
  return vocab;
}

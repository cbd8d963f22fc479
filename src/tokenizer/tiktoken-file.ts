/**
 * tiktoken's vocabulary format, one "base64 rank" a line, and the JSON of special tokens that stands beside it here.
 * Knows nothing about disks: takes and gives contents.
 */
import { ByteTable } from './byte-table.ts';
import { llama3Tokenizer } from './llama3-tokenizer.ts';
import { LLAMA31_SPECIAL_TOKENS, LLAMA3_SPECIAL_TOKENS } from './special-tokens.ts';
import type { Tokenizer } from './tokenizer.ts';
import { utf8Encode } from './utf8.ts';
import { ConfigError, FormatError } from '../util/errors.ts';
import { z } from 'zod';

/** Which generation's special tokens go with a vocabulary file of Meta's, which does not name them itself. */
export type Llama3Generation = '3.0' | '3.1';

/** Number of lines of the file that Meta published, whose special tokens are known without a JSON. */
const META_NUM_RANKS = 128_000;

const specialTokensSchema = z.strictObject({
  pattern: z.literal('llama3'),
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
    if (id < vocab.size) {
      throw new FormatError(
        `Special token ${name} has id ${id}, which is a rank of the vocabulary of ${vocab.size}; ` +
          'special tokens come after the ranks.',
      );
    }
  }
  return llama3Tokenizer(vocab, ids);
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
  const { vocab, pattern } = tokenizer.parts;
  const lines: string[] = [];
  for (let rank = 0; rank < vocab.size; rank++) {
    if (vocab.entryLength(rank) > 0) lines.push(`${toBase64(vocab.entry(rank))} ${rank}\n`);
  }
  const specialTokens = Object.fromEntries(tokenizer.specialTokens);
  return {
    modelFile: utf8Encode(lines.join('')),
    specialTokensJson: `${JSON.stringify({ pattern, specialTokens }, null, 2)}\n`,
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

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BLANK = 0x20;
const PADDING = 0x3d;
const NO_DIGIT = 255;
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Vocabulary of a file in tiktoken's format; ranks must ascend line by line. */
export function readTiktokenRanks(file: Uint8Array): ByteTable {
  const digits = new Uint8Array(256).fill(NO_DIGIT);
  for (let i = 0; i < BASE64.length; i++) digits[BASE64.charCodeAt(i)] = i;
  const vocab = new ByteTable(Math.max(Math.ceil(file.length / 16), 256), file.length);
  const token = new Uint8Array(file.length);
  let line = 1;
  for (let pos = 0; pos < file.length; line++) {
    // base64
    let length = 0;
    let bits = 0;
    let numBits = 0;
    let at = pos;
    for (; at < file.length && digits[file[at]!] !== NO_DIGIT; at++) {
      bits = ((bits << 6) | digits[file[at]!]!) & 0xffff;
      numBits += 6;
      if (numBits >= 8) {
        numBits -= 8;
        token[length++] = bits >> numBits;
      }
    }
    while (file[at] === PADDING) at++;
    if (length === 0 || file[at] !== BLANK) throw badLine(line);
    // rank
    let rank = 0;
    const rankStart = ++at;
    for (; at < file.length && file[at]! >= 0x30 && file[at]! <= 0x39; at++) rank = rank * 10 + file[at]! - 0x30;
    if (at === rankStart || rank < vocab.size || rank > vocab.size + file.length) throw badLine(line);
    if (file[at] === RETURN) at++;
    if (at < file.length && file[at++] !== NEWLINE) throw badLine(line);
    pos = at;
    while (vocab.size < rank) vocab.addHole();
    if (vocab.findOrAdd(token, 0, length) !== rank) {
      throw new FormatError(`Line ${line} of the tokenizer file repeats a token; use an undamaged tokenizer.model.`);
    }
  }
  if (vocab.size === 0) throw new FormatError('The tokenizer file is empty; use a complete tokenizer.model.');
  return vocab;
}

function badLine(line: number): FormatError {
  return new FormatError(
    `Line ${line} of the tokenizer file is not "base64 rank" with ranks ascending; ` +
      "it must be a tokenizer.model in tiktoken's format (Llama 2's SentencePiece file is not).",
  );
}

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += BASE64[word >> 18]! + BASE64[(word >> 12) & 63]!;
    text += i + 1 < bytes.length ? BASE64[(word >> 6) & 63]! : '=';
    text += i + 2 < bytes.length ? BASE64[word & 63]! : '=';
  }
  return text;
}

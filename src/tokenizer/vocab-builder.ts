/**
 * Vocabulary and merges from lists of strings, as Hugging Face and GGUF files hold them.
 */
import { alphabetToBytes } from './byte-alphabet.ts';
import { WORD_MARK } from './bpe-model.ts';
import { ABSENT, ByteTable } from './byte-table.ts';
import { ListedMerges } from './merge-rules.ts';
import { utf8Encode } from './utf8.ts';
import { FormatError } from '../util/errors.ts';

/** No vocabulary is larger; a lying id must not make us fill gigabytes. */
export const MAX_VOCAB_SIZE = 2 ** 22;

/** Ids that no token has: published vocabularies leave out some hundreds, a lying id millions. */
export const MAX_HOLES = 2 ** 16;

const NO_BYTES = new Uint8Array(0);

/** How a file writes the bytes of an ordinary token: in GPT-2's alphabet, or as text with U+2581 for a space. */
export type TokenSpelling = 'alphabet' | 'word-mark';

/**
 * Table of the tokens by id. `hiddenBytes` gives the bytes of tokens that text does not merge into (special ones, those that
 * stand for one byte), null for ordinary tokens. Undefined strings are holes.
 */
export function buildVocab(
  tokens: readonly (string | undefined)[],
  spelling: TokenSpelling,
  hiddenBytes: (id: number, token: string) => Uint8Array | null,
): ByteTable {
  const vocab = new ByteTable(Math.max(tokens.length, 8));
  for (let id = 0; id < tokens.length; id++) {
    const token = tokens[id] ?? '';
    const hidden = token === '' ? NO_BYTES : hiddenBytes(id, token);
    const bytes = hidden === null ? spelledBytes(token, spelling) : null;
    if (bytes === null) vocab.addHidden(hidden ?? utf8Encode(token));
    // A second token with the same bytes can never be the answer of a lookup.
    else if (vocab.findOrAddBytes(bytes) !== id) vocab.addHidden(bytes);
  }
  return vocab;
}

function spelledBytes(token: string, spelling: TokenSpelling): Uint8Array | null {
  return spelling === 'alphabet' ? alphabetToBytes(token) : utf8Encode(token.replaceAll(WORD_MARK, ' '));
}

/** Merges of a file, "left right" or [left, right], over tokens spelled as in the file; `path` names the list for errors. */
export function buildMerges(
  merges: readonly unknown[],
  idOf: (token: string) => number | undefined,
  path: string,
): ListedMerges {
  const listed = new ListedMerges(merges.length);
  for (let i = 0; i < merges.length; i++) {
    const [left, right] = mergeParts(merges[i], `${path}.${i}`);
    const leftId = idOf(left);
    const rightId = idOf(right);
    const mergedId = idOf(left + right);
    if (leftId === undefined || rightId === undefined || mergedId === undefined) {
      const missing = leftId === undefined ? left : rightId === undefined ? right : left + right;
      throw new FormatError(
        `${path}.${i} needs the token ${JSON.stringify(missing)}, which the vocabulary lacks; use an undamaged file.`,
      );
    }
    listed.add(leftId, rightId, mergedId);
  }
  return listed;
}

function mergeParts(merge: unknown, path: string): [string, string] {
  if (typeof merge === 'string') {
    const blank = merge.indexOf(' ');
    if (blank > 0 && blank < merge.length - 1) return [merge.slice(0, blank), merge.slice(blank + 1)];
  } else if (Array.isArray(merge) && merge.length === 2) {
    const [left, right] = merge as unknown[];
    if (typeof left === 'string' && typeof right === 'string' && left !== '' && right !== '') return [left, right];
  }
  throw new FormatError(`${path} is not a merge of two tokens; use an undamaged file.`);
}

/** The byte that a token like <0x0A> stands for, or null. */
export function byteOfToken(token: string): number | null {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? parseInt(token.slice(3, 5), 16) : null;
}

/** Ids of the tokens <0x00> to <0xFF>; `where` names the list for errors. */
export function byteTokenIds(tokens: readonly (string | undefined)[], where: string): Int32Array {
  const ids = new Int32Array(256).fill(ABSENT);
  for (let id = 0; id < tokens.length; id++) {
    const byte = byteOfToken(tokens[id] ?? '');
    if (byte !== null) ids[byte] = id;
  }
  const missing = ids.indexOf(ABSENT);
  if (missing >= 0) {
    throw new FormatError(
      `${where} lacks the token <0x${missing.toString(16).toUpperCase().padStart(2, '0')}>, ` +
        'which stands for a byte; use an undamaged file.',
    );
  }
  return ids;
}

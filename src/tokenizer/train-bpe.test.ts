import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainBpe } from './train-bpe.ts';
import { writeTiktoken } from './tiktoken-file.ts';
import { ConfigError, FormatError } from '../util/errors.ts';

const SMALL = ['the cat sat on the mat, the cat sat\n', 'on the hat: that cat!\n'];
const FIRST_MERGE = 256;

/** The algorithm as the paper states it: recount everything before every merge. Pieces are given. */
function trainByRecounting(pieces: readonly string[], numMerges: number): string[] {
  const words = pieces.map((piece) => [...Buffer.from(piece, 'latin1')].map((byte) => String.fromCharCode(byte)));
  const tokens = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  while (tokens.length < 256 + numMerges) {
    const counts = new Map<string, { left: number; right: number; count: number }>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const [left, right] = [tokens.indexOf(word[i]!), tokens.indexOf(word[i + 1]!)];
        const entry = counts.get(`${left} ${right}`) ?? { left, right, count: 0 };
        counts.set(`${left} ${right}`, { ...entry, count: entry.count + 1 });
      }
    }
    const best = [...counts.values()].toSorted((a, b) => b.count - a.count || a.left - b.left || a.right - b.right)[0];
    if (best === undefined) break;
    const [left, right] = [tokens[best.left]!, tokens[best.right]!];
    if (!tokens.includes(left + right)) tokens.push(left + right);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
      }
    }
  }
  return tokens.slice(FIRST_MERGE);
}

test('learns the merges that recounting after every merge would learn', () => {
  const letters = 'aaabbc abcabcaaab\n';
  let state = 7;
  const texts = Array.from({ length: 30 }, () => {
    let text = '';
    for (let i = 0; i < 60; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      text += letters[(state >>> 16) % letters.length];
    }
    return text;
  });
  const tokenizer = trainBpe(texts, { vocabSize: 256 + 8 + 120 });
  const pattern = /[^\r\n\p{L}\p{N}]?\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+/gu;
  const pieces = texts.flatMap((text) => text.match(pattern)!);
  const learned = Array.from({ length: 120 }, (_, i) => tokenizer.decode([FIRST_MERGE + i]));
  assert.deepEqual(learned, trainByRecounting(pieces, 120));
});

test('is the same to the byte for the same texts', () => {
  const first = writeTiktoken(trainBpe(SMALL, { vocabSize: 300 }));
  const second = writeTiktoken(trainBpe(SMALL, { vocabSize: 300 }));
  assert.deepEqual(first, second);
});

test('puts the special tokens after the ranks and keeps the size asked for', () => {
  const tokenizer = trainBpe(SMALL, { vocabSize: 280 });
  assert.equal(tokenizer.vocabSize, 280);
  assert.equal(tokenizer.bosId, 272);
  assert.equal(tokenizer.idOf('<|python_tag|>'), 279);
  assert.equal(tokenizer.idOf('<|reserved_special_token_0|>'), null);
});

test('stops early when nothing is left to merge', () => {
  const tokenizer = trainBpe(['abab'], { vocabSize: 1000 });
  assert.equal(tokenizer.vocabSize, 256 + 2 + 8); // ab, abab
  assert.equal(tokenizer.vocabSize, 256 + 2 + 8);
});

test('merges overlapping pairs left to right', () => {
  const tokenizer = trainBpe(['aaaaaa'], { vocabSize: 256 + 8 + 2 });
  assert.deepEqual([tokenizer.decode([256]), tokenizer.decode([257])], ['aa', 'aaaa']);
});

test('learns nothing across the border of two texts', () => {
  const tokenizer = trainBpe(['ab', 'cd', 'ab', 'cd'], { vocabSize: 1000 });
  assert.deepEqual(tokenizer.encode('abcd').length, 4 - 2);
  assert.equal(tokenizer.vocabSize, 256 + 2 + 8);
});

test('refuses a vocabulary without room for the bytes and the special tokens', () => {
  assert.throws(
    () => trainBpe(SMALL, { vocabSize: 263 }),
    (error) => error instanceof ConfigError && /at least 264/.test(error.message),
  );
});

test('refuses texts that are empty or binary', () => {
  assert.throws(() => trainBpe([], { vocabSize: 300 }), FormatError);
  assert.throws(() => trainBpe(['', ''], { vocabSize: 300 }), /training text is empty/);
  assert.throws(() => trainBpe(['fine', 'ELF\0\0'], { vocabSize: 300 }), /text 2 is binary: .* NUL character at 3/);
});

test('refuses special tokens that share a name', () => {
  assert.throws(() => trainBpe(SMALL, { vocabSize: 300, specialTokens: ['<a>', '<a>'] }), ConfigError);
});

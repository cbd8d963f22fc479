import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMetaTokenizer, readTiktoken, readTiktokenRanks } from './tiktoken-file.ts';
import { ConfigError, FormatError } from '../util/errors.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const allBytes = Array.from({ length: 256 }, (_, i) => `${Buffer.of(i).toString('base64')} ${i}\n`).join('');
const specials = (ids: Record<string, number>) => JSON.stringify({ pattern: 'llama3', specialTokens: ids });

test('reads tokens of every length and both line ends', () => {
  const vocab = readTiktokenRanks(bytes('YQ== 0\r\nYWI= 1\nYWJj 2\nIGFiYw== 3'));
  assert.deepEqual(
    Array.from({ length: vocab.size }, (_, i) => Buffer.from(vocab.entry(i)).toString()),
    ['a', 'ab', 'abc', ' abc'],
  );
});

test('leaves a hole where ranks skip a number', () => {
  const vocab = readTiktokenRanks(bytes('YQ== 0\nYWI= 2\n'));
  assert.equal(vocab.size, 3);
  assert.equal(vocab.entryLength(1), 0);
});

test('names the line that is damaged', () => {
  for (const file of [
    'YQ== 0\nYWI=\n',
    'YQ== 0\n 1\n',
    'YQ== 0\nYWI= x\n',
    'YQ== 0\nYWI= 0\n',
    'YQ== 0\nY!I= 1\n',
    'YQ== 0\nYWI= 1 \n',
  ]) {
    assert.throws(
      () => readTiktokenRanks(bytes(file)),
      (error) => error instanceof FormatError && /Line 2/.test(error.message),
    );
  }
  assert.throws(() => readTiktokenRanks(bytes('YQ== 99999999999\n')), FormatError);
});

test('refuses an empty file, a repeated token and a vocabulary without all bytes', () => {
  assert.throws(() => readTiktokenRanks(bytes('')), /empty/);
  assert.throws(() => readTiktokenRanks(bytes('YQ== 0\nYQ== 1\n')), /Line 2 .* repeats/);
  assert.throws(() => readTiktoken(bytes('YQ== 0\n'), specials({})), /lacks a token for the single byte 0x00/);
});

test('refuses special tokens that collide', () => {
  const file = bytes(allBytes);
  assert.throws(() => readTiktoken(file, specials({ '<a>': 255 })), /<a> has id 255, which is a rank/);
  assert.throws(() => readTiktoken(file, specials({ '<a>': 256, '<b>': 256 })), /one id to two tokens/);
  assert.throws(() => readTiktoken(file, '{'), /not JSON/);
  assert.throws(() => readTiktoken(file, '{"pattern":"llama3","specialTokens":{"<a>":-1}}'), /specialTokens\.<a>/);
  assert.equal(readTiktoken(file, specials({ '<a>': 300 })).vocabSize, 301);
});

test("asks for the special tokens of a vocabulary that is not Meta's", () => {
  assert.throws(() => readMetaTokenizer(bytes(allBytes)), ConfigError);
});

test('refuses ranks and special ids that would make millions of holes', () => {
  assert.equal(readTiktoken(bytes(`${allBytes}YWI= 300\n`), specials({ '<|x|>': 400 })).vocabSize, 401);
  assert.throws(() => readTiktokenRanks(bytes(`${allBytes}YWI= 4000000\n`)), /Line 257/);
  assert.throws(
    () => readTiktoken(bytes(allBytes), specials({ '<|x|>': 4_000_000 })),
    /far above the vocabulary of 256/,
  );
});

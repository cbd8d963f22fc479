import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGgufTokenizer, writeGgufTokenizer } from './gguf-vocab.ts';
import { readHfTokenizer } from './hf-read.ts';
import { preTokenizerOf } from './pre-tokenizer.ts';
import { readTiktoken } from './tiktoken-file.ts';
import { Tokenizer } from './tokenizer.ts';
import { ConfigError, FormatError } from '../util/errors.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/tokenizer');
const fixture = (name: string) => readFileSync(join(FIXTURES, name), 'utf8');
const sentencePiece = JSON.parse(fixture('sentencepiece-like.json')) as Record<string, unknown>;
const trained = readTiktoken(
  readFileSync(join(FIXTURES, 'vocabulary/tokenizer.model')),
  fixture('vocabulary/special_tokens.json'),
);
const smollm = readHfTokenizer({ tokenizerJson: fixture('smollm-like.json') });

const read = (metadata: Record<string, unknown>) => readGgufTokenizer((key) => metadata[key]);

test('is the same tokenizer after writing and reading', () => {
  for (const tokenizer of [trained, smollm, read(sentencePiece)]) {
    const metadata = writeGgufTokenizer(tokenizer);
    const loaded = readGgufTokenizer((key) => metadata.get(key));
    for (const text of hostileTexts(500, 11)) {
      const ids = tokenizer.encode(text, { allowSpecial: true });
      assert.deepEqual(loaded.encode(text, { allowSpecial: true }), ids);
      assert.equal(loaded.decode(ids), tokenizer.decode(ids));
    }
    assert.deepEqual(
      [loaded.bosId, loaded.eosId, loaded.roles.addsBos, loaded.vocabSize],
      [tokenizer.bosId, tokenizer.eosId, tokenizer.roles.addsBos, tokenizer.vocabSize],
    );
    assert.deepEqual(writeGgufTokenizer(loaded), metadata);
  }
});

test("names the pattern in llama.cpp's words and carries the chat template", () => {
  const metadata = writeGgufTokenizer(trained, '{{ x }}');
  assert.equal(metadata.get('tokenizer.ggml.pre'), 'llama-bpe');
  assert.equal(metadata.get('tokenizer.chat_template'), '{{ x }}');
  assert.equal(writeGgufTokenizer(smollm).get('tokenizer.ggml.pre'), 'smollm');
});

test('puts a space before a text and takes it away again, as SentencePiece does', () => {
  const tokenizer = read(sentencePiece);
  const ids = tokenizer.encode('you and I');
  assert.equal(tokenizer.decode(ids), 'you and I');
  assert.deepEqual(ids, tokenizer.encode('\u2581you\u2581and I', { isContinuation: true }).length ? ids : []);
  const stream = tokenizer.streamDecoder();
  assert.equal(ids.map((id) => stream.push(id)).join('') + stream.flush(), 'you and I');
  const plain = read({ ...sentencePiece, 'tokenizer.ggml.add_space_prefix': false });
  assert.deepEqual(plain.encode(' you and I'), ids);
  assert.equal(plain.decode(ids), ' you and I');
});

test("follows llama.cpp's defaults for a file that says little", () => {
  const tokenizer = read({ ...sentencePiece, 'tokenizer.ggml.bos_token_id': undefined });
  assert.deepEqual([tokenizer.bosId, tokenizer.roles.addsBos], [1, true]);
  const metadata = Object.fromEntries(writeGgufTokenizer(smollm));
  const unnamed = read({ ...metadata, 'tokenizer.ggml.pre': undefined });
  // Without a name its digits go by threes and its punctuation apart.
  const digits = unnamed.encodeWithOffsets('1234567 ab!');
  assert.ok(digits.ends.includes(3) && digits.ends.includes(6));
});

const BAD: readonly [string, Record<string, unknown>][] = [
  ['tokenizer.ggml.model', { 'tokenizer.ggml.model': 'bert' }],
  ['tokenizer.ggml.model', { 'tokenizer.ggml.model': undefined }],
  ['tokenizer.ggml.tokens', { 'tokenizer.ggml.tokens': 'x' }],
  ['tokenizer.ggml.tokens[1]', { 'tokenizer.ggml.tokens': ['a', 5] }],
  ['tokenizer.ggml.token_type', { 'tokenizer.ggml.token_type': [1] }],
  ['tokenizer.ggml.scores', { 'tokenizer.ggml.scores': null }],
  ['tokenizer.ggml.scores', { 'tokenizer.ggml.scores': new Float32Array(3) }],
  ['tokenizer.ggml.eos_token_id', { 'tokenizer.ggml.eos_token_id': 99_999 }],
  ['tokenizer.ggml.merges', { 'tokenizer.ggml.model': 'gpt2' }],
  ['tokenizer.ggml.merges.0', { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.merges': ['zzzzz qqqqq'] }],
  ['tokenizer.ggml.merges.0', { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.merges': [7] }],
  [
    'tokenizer.ggml.pre',
    { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.merges': [], 'tokenizer.ggml.pre': 'tekken' },
  ],
];

test('names the metadata that is wrong', () => {
  for (const [key, change] of BAD) {
    assert.throws(
      () => read({ ...sentencePiece, ...change }),
      (error) => error instanceof FormatError && error.message.includes(key),
      `${key} ${JSON.stringify(change).slice(0, 80)}`,
    );
  }
});

test('lacks a byte of SentencePiece only with an error', () => {
  const tokens = (sentencePiece['tokenizer.ggml.tokens'] as string[]).map((token) =>
    token === '<0x41>' ? 'x41' : token,
  );
  assert.throws(() => read({ ...sentencePiece, 'tokenizer.ggml.tokens': tokens }), /lacks the token <0x41>/);
});

test('cannot write a way of cutting text that GGUF has no name for', () => {
  const { model, addedTokens, roles } = trained;
  assert.ok(model.text.kind === 'byte-level');
  const preTokenizer = preTokenizerOf([{ pattern: 'x|[^x]+', dropsUnmatched: false, where: 'test' }]);
  const unnamed = new Tokenizer({ ...model, text: { ...model.text, preTokenizer } }, addedTokens, roles);
  assert.throws(() => writeGgufTokenizer(unnamed), ConfigError);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainBpe } from './train-bpe.ts';
import { readTiktoken, writeTiktoken } from './tiktoken-file.ts';
import { ConfigError } from '../util/errors.ts';

const tokenizer = trainBpe(["It's the cat, and the cats' hats. 12 3456 été 日本語 😀\r\n  \n\tEnd."], {
  vocabSize: 320,
});

const NASTY = [
  '',
  ' ',
  "don't DON'T",
  'a\u0085b\ufeffc\u00a0d',
  '👩‍👩‍👧‍👦 नमस्ते สวัสดี',
  '\r\n\r\n \t x\n',
  '1234567890 ١٢٣٤',
  '\0\u001c',
  ' '.repeat(300),
  'ab'.repeat(200),
];

test('decodes what it encoded', () => {
  for (const text of NASTY) assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
});

test('writes a lone surrogate as U+FFFD', () => {
  assert.equal(tokenizer.decode(tokenizer.encode('a\ud800b\udc00')), 'a\ufffdb\ufffd');
});

test('leaves special tokens in text as text unless asked', () => {
  const text = 'x<|eot_id|>y';
  const eot = tokenizer.idOf('<|eot_id|>')!;
  assert.ok(!tokenizer.encode(text).includes(eot));
  assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  const special = tokenizer.encode(text, { allowSpecial: true });
  assert.deepEqual(special, [...tokenizer.encode('x'), eot, ...tokenizer.encode('y')]);
  assert.equal(tokenizer.decode(special), text);
  assert.equal(tokenizer.decode(special, { skipSpecial: true }), 'xy');
});

test('frames a text with the tokens of its beginning and end', () => {
  const ids = tokenizer.encode('the', { bos: true, eos: true });
  assert.equal(ids[0], tokenizer.bosId);
  assert.equal(ids.at(-1), tokenizer.eosId);
  assert.deepEqual(ids.slice(1, -1), tokenizer.encode('the'));
  assert.equal(tokenizer.count('the', { bos: true, eos: true }), ids.length);
  assert.deepEqual([...tokenizer.encodeToUint32('the', { bos: true, eos: true })], ids);
});

test('streams whole characters only and the same text as decode', () => {
  for (const text of NASTY) {
    const stream = tokenizer.streamDecoder();
    const parts = tokenizer.encode(text).map((id) => stream.push(id));
    assert.ok(parts.every((part) => !part.includes('\ufffd')));
    assert.equal(parts.join('') + stream.flush(), text);
  }
});

test('gives U+FFFD for a character the stream left unfinished', () => {
  const stream = tokenizer.streamDecoder();
  assert.equal(stream.push(0xf0), '');
  assert.equal(stream.push(0x9f), '');
  assert.equal(stream.flush(), '\ufffd');
});

test('knows the ids that end generation', () => {
  assert.deepEqual(
    tokenizer.stopIds,
    ['<|end_of_text|>', '<|eot_id|>', '<|eom_id|>'].map((name) => tokenizer.idOf(name)),
  );
});

test('names an id that is not in the vocabulary', () => {
  for (const id of [320, -1, 1.5, Number.NaN]) {
    assert.throws(
      () => tokenizer.decode([id]),
      (error) => error instanceof ConfigError && error.message.includes(String(id)),
    );
  }
});

test('is the same tokenizer after saving and loading', () => {
  const files = writeTiktoken(tokenizer);
  const loaded = readTiktoken(files.modelFile, files.specialTokensJson);
  assert.deepEqual(writeTiktoken(loaded), files);
  for (const text of NASTY) assert.deepEqual(loaded.encode(text), tokenizer.encode(text));
  assert.deepEqual(loaded.specialTokens, tokenizer.specialTokens);
});

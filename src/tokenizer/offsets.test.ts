import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGgufTokenizer } from './gguf-vocab.ts';
import { readHfTokenizer } from './hf-read.ts';
import { readTiktoken } from './tiktoken-file.ts';
import { hostileTexts } from '../../test/fixtures/tokenizer/hostile-texts.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/tokenizer');
const fixture = (name: string) => readFileSync(join(FIXTURES, name), 'utf8');
const trained = readTiktoken(
  readFileSync(join(FIXTURES, 'vocabulary/tokenizer.model')),
  fixture('vocabulary/special_tokens.json'),
);
const smollm = readHfTokenizer({ tokenizerJson: fixture('smollm-like.json') });
const sentencePieceMetadata = JSON.parse(fixture('sentencepiece-like.json')) as Record<string, unknown>;
const sentencePiece = readGgufTokenizer((key) => sentencePieceMetadata[key]);

/** Start and end, in UTF-16 units, of the characters that hold byte `from` and byte `to - 1` of a text. */
function charsOfBytes(text: string, from: number, to: number): [number, number] {
  let [bytes, units, start, end] = [0, 0, 0, 0];
  for (const char of text) {
    const size = Buffer.byteLength(char);
    if (from >= bytes && from < bytes + size) start = units;
    if (to - 1 >= bytes && to - 1 < bytes + size) end = units + char.length;
    bytes += size;
    units += char.length;
  }
  return [start, end];
}

test('finds the characters that hold the bytes of each token', () => {
  for (const text of hostileTexts(300, 21)) {
    const { ids, starts, ends } = trained.encodeWithOffsets(text);
    assert.deepEqual(ids, trained.encode(text));
    if (text.length > 300) continue; // the check below is slow
    let bytes = 0;
    for (const [i, id] of ids.entries()) {
      const size = trained.tokenBytes(id).length;
      assert.deepEqual([starts[i], ends[i]], charsOfBytes(text, bytes, bytes + size));
      bytes += size;
    }
  }
});

test('gives special tokens their place and what is put around a text an empty one', () => {
  const text = 'ab<|eot_id|>é';
  const { ids, starts, ends } = trained.encodeWithOffsets(text, { bos: true, eos: true, allowSpecial: true });
  assert.deepEqual(ids, trained.encode(text, { bos: true, eos: true, allowSpecial: true }));
  assert.deepEqual([starts[0], ends[0], starts.at(-1), ends.at(-1)], [0, 0, text.length, text.length]);
  const eot = ids.indexOf(trained.idOf('<|eot_id|>')!);
  assert.equal(text.slice(starts[eot], ends[eot]), '<|eot_id|>');
});

test('skips bytes that a vocabulary drops', () => {
  const dropped = '\u0004'; // no token of this vocabulary, as in SmolLM2
  const text = `it${dropped}s an`;
  const { ids, starts, ends } = smollm.encodeWithOffsets(text);
  assert.deepEqual(ids, smollm.encode(text));
  assert.ok(!smollm.decode(ids).includes(dropped));
  const an = ids.length - 1;
  assert.equal(text.slice(starts[an], ends[an]), smollm.decode([ids[an]!]));
});

test('leaves out the space that SentencePiece puts before a text', () => {
  for (const text of ['you and', ' you', '\u2581you', 'é字', '<s>x']) {
    const { ids, starts, ends } = sentencePiece.encodeWithOffsets(text, { allowSpecial: true });
    assert.deepEqual(ids, sentencePiece.encode(text, { allowSpecial: true }));
    assert.equal(starts[0], 0);
    assert.equal(ends.at(-1), text.length);
    for (let i = 1; i < ids.length; i++) assert.ok(starts[i]! >= starts[i - 1]! && ends[i]! >= starts[i]!);
  }
});

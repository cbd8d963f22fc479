import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { join } from 'node:path';
import { loadTokenizerFolder } from '../formats/tokenizer-files.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { completionLogprobs } from './openai-logprobs.ts';

describe('log-probabilities of a text completion', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = await loadTokenizerFolder(join(import.meta.dirname, '../../test/fixtures/tokenizer/vocabulary'));
  });

  it('keep parts of a character apart, and say where in the text each token starts', () => {
    const ids = [...tokenizer.encode('hay 🜚!', { bos: true }), tokenizer.stopIds[0]!];
    const told = ids.map((id) => ({ id, logprob: -1, topLogprobs: [{ id, logprob: -1 }] }));
    const {
      tokens,
      text_offset: offsets,
      top_logprobs: top,
    } = completionLogprobs(tokenizer, told, 0) as {
      readonly tokens: readonly string[];
      readonly text_offset: readonly number[];
      readonly top_logprobs: readonly object[];
    };
    const parts = tokens.filter((token) => token.startsWith('bytes:'));
    assert.equal(parts.map((part) => part.slice('bytes:'.length)).join(''), String.raw`\xf0\x9f\x9c\x9a`);
    assert.ok(parts.length > 1);
    assert.deepEqual(
      top.map((alternatives) => Object.keys(alternatives)),
      tokens.map((token) => [token]),
    );
    assert.equal(tokens[0], tokenizer.decode([ids[0]!]));
    assert.deepEqual(offsets.slice(0, 2), [0, 0]);
    assert.equal(tokens.at(-2), '!');
    assert.deepEqual(offsets.slice(-2), ['hay 🜚'.length, 'hay 🜚!'.length]);
  });
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadTokenizerFolder } from '../formats/tokenizer-files.ts';
import { mergeSteps } from './merge-steps.ts';

const tokenizer = await loadTokenizerFolder(join(import.meta.dirname, '../../test/fixtures/tokenizer/vocabulary'));
const TEXT = "Romeo, wherefore art thou?  It's 1597…\n\tnaïve 🦙 llamas antidisestablishmentarianism";

describe('merge steps', () => {
  it('end in the ids that encoding gives', () => {
    assert.deepEqual(
      mergeSteps(tokenizer.model, TEXT).flatMap(({ ids }) => ids),
      tokenizer.encode(TEXT),
    );
  });

  it('cut the text without loss', () => {
    assert.equal(
      mergeSteps(tokenizer.model, TEXT)
        .map(({ text }) => text)
        .join(''),
      TEXT,
    );
  });

  it('start from bytes, join neighbours only, and keep the bytes of the piece', () => {
    for (const { text, symbols, steps } of mergeSteps(tokenizer.model, TEXT)) {
      let before = symbols;
      for (const { at, id, ids } of steps) {
        assert.equal(ids[at], id);
        assert.deepEqual(tokenizer.decodeBytes([id]), tokenizer.decodeBytes(before.slice(at, at + 2)));
        assert.equal(tokenizer.decode(ids), text);
        before = ids;
      }
    }
  });

  it('take the pair of lowest rank first among those there are', () => {
    const [{ symbols, steps }] = mergeSteps(tokenizer.model, 'wherefore') as [ReturnType<typeof mergeSteps>[0]];
    assert.equal(symbols.length, 9);
    assert.ok(steps.length > 3);
    // The vocabulary implies its merges, so that the rank is the id.
    for (const { id, rank } of steps) assert.equal(rank, id);
  });
});

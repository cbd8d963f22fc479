import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jsonConstraint } from '../constrain/compile.ts';
import { ConstraintVocabulary } from '../constrain/vocabulary.ts';
import { constraintVocabulary, prepareConstraints } from './constraint-vocabulary.ts';
import { toyTokenizer } from './toy-catalog.ts';

/** Masks along the beginning of a reply. */
function masks(vocabulary: ConstraintVocabulary): Uint32Array[] {
  const state = jsonConstraint(vocabulary).start();
  return [...new TextEncoder().encode('{"a": [1, "é"')].map((byte) => {
    const mask = state.allowed();
    state.advanceByte(byte);
    return mask;
  });
}

describe('vocabularies of constraints', () => {
  it('are the same, made in slices or at once', async () => {
    const tokenizer = toyTokenizer();
    const preparing = prepareConstraints(tokenizer);
    await preparing;
    const prepared = constraintVocabulary(tokenizer);
    assert.deepEqual(masks(prepared), masks(new ConstraintVocabulary(tokenizer)));
    assert.equal(constraintVocabulary(tokenizer), prepared);
  });

  it('are finished at once for a request that comes before they are prepared', async () => {
    const tokenizer = toyTokenizer();
    const preparing = prepareConstraints(tokenizer);
    const early = constraintVocabulary(tokenizer);
    assert.ok(jsonConstraint(early).start().allowed().length > 0);
    await preparing;
    assert.equal(constraintVocabulary(tokenizer), early);
  });

  it('that cannot write JSON do not fail while they are prepared', async () => {
    const tokenizer = toyTokenizer();
    const { tokenBytes } = tokenizer;
    tokenizer.tokenBytes = (id) => tokenBytes.call(tokenizer, id).map((byte) => (byte === 0x7b ? 0x61 : byte));
    await prepareConstraints(tokenizer);
    assert.throws(() => jsonConstraint(constraintVocabulary(tokenizer)).start().allowed(), { code: 'E_CONSTRAINT' });
  });

  it('that cannot be made are told of when they are asked for, each time', async () => {
    const tokenizer = toyTokenizer();
    tokenizer.tokenBytes = () => {
      throw new RangeError('no bytes');
    };
    await prepareConstraints(tokenizer);
    for (let i = 0; i < 2; i++) assert.throws(() => constraintVocabulary(tokenizer), { message: 'no bytes' });
  });
});

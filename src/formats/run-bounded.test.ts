import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readHfTokenizer } from '../tokenizer/hf-read.ts';
import { FormatError } from '../util/errors.ts';
import { splittingTokenizer } from '../../test/fixtures/tokenizer/splitting-tokenizer.ts';
import { runBounded } from './run-bounded.ts';

const inAHurry: typeof runBounded = (work, milliseconds) => runBounded(work, milliseconds / 100);

describe('runBounded', () => {
  it('gives what the work gives, and its errors', () => {
    assert.deepEqual(
      runBounded(() => [1], 1000),
      { result: [1] },
    );
    const fault = new RangeError('own');
    assert.throws(
      () =>
        runBounded(() => {
          throw fault;
        }, 1000),
      (error) => error === fault,
    );
  });

  it('gives up work without end, and runs what comes after', () => {
    assert.equal(
      runBounded(() => {
        for (;;);
      }, 20),
      null,
    );
    assert.deepEqual(
      runBounded(() => 2, 1000),
      { result: 2 },
    );
  });

  it('ends a regular expression of a tokenizer file that takes quadratic time', () => {
    const tokenizer = readHfTokenizer({ tokenizerJson: splittingTokenizer('a*b'), runBounded: inAHurry });
    assert.deepEqual([...tokenizer.encode('aab')], [0, 2]);
    assert.throws(
      () => tokenizer.encode('a'.repeat(200_000)),
      (error: Error) => {
        assert.ok(error instanceof FormatError);
        assert.match(
          error.message,
          /pre_tokenizer\.pretokenizers\.0.*take too long or too much memory for a text of 200000 characters/,
        );
        return true;
      },
    );
    assert.deepEqual([...tokenizer.encode('ab')], [2]);
  });
});

import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { rowOrder } from './row-order.ts';

function offsets(numTokens: number, seqLen: number, seed: number, count: number, first = 0): number[] {
  const order = rowOrder(numTokens, seqLen, seed);
  return Array.from({ length: count }, (_, i) => order.offset(first + i));
}

describe('rowOrder', () => {
  it('draws every row of an epoch once, inside the tokens, then shifts the rows', () => {
    const { rowsPerEpoch } = rowOrder(1000, 16, 3);
    assert.equal(rowsPerEpoch, 61);
    const phases = new Set<number>();
    for (let epoch = 0; epoch < 20; epoch++) {
      const drawn = offsets(1000, 16, 3, rowsPerEpoch, epoch * rowsPerEpoch).toSorted((a, b) => a - b);
      for (const [i, offset] of drawn.entries()) assert.equal(offset, drawn[0]! + 16 * i);
      assert.ok(drawn[0]! >= 0 && drawn.at(-1)! + 17 <= 1000);
      phases.add(drawn[0]!);
    }
    assert.ok(phases.size > 10);
  });

  it('is a function of seed and index alone', () => {
    assert.deepEqual(offsets(5000, 10, 1, 40, 980), offsets(5000, 10, 1, 1020).slice(980));
    assert.notDeepEqual(offsets(5000, 10, 1, 40), offsets(5000, 10, 2, 40));
    assert.notDeepEqual(
      offsets(5000, 10, 1, 40),
      offsets(5000, 10, 1, 40).toSorted((a, b) => a - b),
    );
  });

  it('makes do with tokens for a single row', () => {
    assert.deepEqual(offsets(11, 10, 1, 3), [0, 0, 0]);
    for (const offset of offsets(25, 10, 1, 50)) assert.ok(offset >= 0 && offset + 11 <= 25);
    assert.throws(() => rowOrder(10, 10, 1), { code: 'E_CONFIG', message: /has 10 tokens, one row takes 11/ });
  });
});

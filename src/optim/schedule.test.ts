import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { learningRate, type Schedule } from './schedule.ts';

const BASE: Schedule = { shape: 'cosine', lr: 2, minLrRatio: 0.1, warmupSteps: 4, totalSteps: 24, decayRatio: 0.25 };

function rates(changes: Partial<Schedule>, ...steps: number[]): number[] {
  return steps.map((step) => Number(learningRate({ ...BASE, ...changes }, step).toFixed(12)));
}

describe('learningRate', () => {
  it('warms up from 0 to the peak', () => {
    assert.deepEqual(rates({}, 0, 1, 2, 3, 4), [0, 0.5, 1, 1.5, 2]);
    assert.deepEqual(rates({ warmupSteps: 0 }, 0), [2]);
  });

  it('falls along half a cosine to its floor and stays there', () => {
    // 0.1 + 0.9 * (1 + cos(pi / 4)) / 2 at a quarter of the way
    const quarter = Number((2 * (0.1 + (0.9 * (1 + Math.SQRT1_2)) / 2)).toFixed(12));
    assert.deepEqual(rates({}, 9, 14, 24, 99), [quarter, 1.1, 0.2, 0.2]);
  });

  it('falls in a line, stays constant, or holds and then decays', () => {
    assert.deepEqual(rates({ shape: 'linear' }, 4, 14, 24), [2, 1.1, 0.2]);
    assert.deepEqual(rates({ shape: 'constant' }, 4, 14, 24), [2, 2, 2]);
    assert.deepEqual(rates({ shape: 'wsd' }, 4, 18, 21, 24), [2, 2, 1.1, 0.2]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runAtOnce, runInSlices, type Sliced } from './slices.ts';

function* counted(rounds: number, each: () => void): Sliced<string> {
  for (let i = 0; i < rounds; i++) {
    each();
    yield;
  }
  return `${rounds} rounds`;
}

function spin(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until;);
}

function fail(): never {
  throw new RangeError('no');
}

describe('work in slices', () => {
  it('gives what the work gives, at once or in slices', async () => {
    assert.equal(runAtOnce(counted(3, () => {})), '3 rounds');
    assert.equal(await runInSlices(counted(3, () => {})), '3 rounds');
  });

  it('lets the event loop turn between slices, and not between short stretches', async () => {
    let [turns, isOver] = [0, false];
    const turn = (): void => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    await runInSlices(counted(10, () => spin(3)));
    isOver = true;
    assert.ok(turns >= 9, `${turns} turns`);
    turns = 0;
    await runInSlices(counted(10, () => {}));
    assert.equal(turns, 0);
  });

  it('goes on where it was left', async () => {
    let rounds = 0;
    const work = counted(5, () => rounds++);
    work.next();
    assert.equal(rounds, 1);
    const slices = runInSlices(work);
    assert.equal(runAtOnce(counted(0, () => {})), '0 rounds');
    assert.equal(await slices, '5 rounds');
    assert.equal(rounds, 5);
  });

  it('throws what the work throws', async () => {
    assert.throws(() => runAtOnce(counted(1, fail)), RangeError);
    await assert.rejects(runInSlices(counted(1, fail)), RangeError);
  });
});

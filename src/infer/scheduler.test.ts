import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BlockManager } from './block-manager.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';
import { Scheduler, type SchedulerLimits } from './scheduler.ts';
import { Sequence } from './sequence.ts';

let numSequences = 0;
/** A sequence that has no token in common with others. */
const sequenceOf = (promptLength: number) => new Sequence(new Int32Array(promptLength).fill(++numSequences), 200);

function schedulerOf(numBlocks: number, limits: Partial<SchedulerLimits> = {}) {
  const blocks = new BlockManager(numBlocks);
  return {
    blocks,
    scheduler: new Scheduler(blocks, { maxNumSequences: 8, maxNumBatchedTokens: 100, prefixCache: true, ...limits }),
  };
}

/** One step: schedules, computes, and gives every sequence whose tokens are all computed another one. */
function step(scheduler: Scheduler, names: ReadonlyMap<Sequence, string>, maxPrefillTokens = Infinity): string {
  const { scheduled } = scheduler.schedule(maxPrefillTokens);
  for (const { sequence, numTokens } of scheduled) {
    scheduler.computed(sequence, numTokens);
    if (sequence.numUncomputed === 0) sequence.append(0);
  }
  return scheduled.map(({ sequence, numTokens }) => `${names.get(sequence)}${numTokens}`).join(' ');
}

describe('scheduler', () => {
  it('runs first come, first served, prompts in chunks beside sequences that decode', () => {
    const { scheduler } = schedulerOf(20, { maxNumBatchedTokens: 10 });
    const [a, b, c] = [sequenceOf(4), sequenceOf(15), sequenceOf(2)];
    const names = new Map([[a, 'a'] as const, [b, 'b'] as const, [c, 'c'] as const]);
    for (const sequence of names.keys()) scheduler.add(sequence);
    assert.deepEqual(
      Array.from({ length: 4 }, () => step(scheduler, names)),
      ['a4 b6', 'a1 b9', 'a1 b1 c2', 'a1 b1 c1'],
    );
  });

  it('runs at most so many sequences at once', () => {
    const { scheduler } = schedulerOf(20, { maxNumSequences: 1 });
    const [a, b] = [sequenceOf(3), sequenceOf(3)];
    const names = new Map([[a, 'a'] as const, [b, 'b'] as const]);
    for (const sequence of names.keys()) scheduler.add(sequence);
    assert.deepEqual([step(scheduler, names), step(scheduler, names)], ['a3', 'a1']);
    scheduler.finish(a);
    assert.equal(step(scheduler, names), 'b3');
  });

  for (const prefixCache of [false, true]) {
    const computed = prefixCache ? 'what the prefix cache lost' : 'all its tokens';
    it(`preempts the youngest when blocks run out, and later computes ${computed} again`, () => {
      const { scheduler, blocks } = schedulerOf(5, { prefixCache });
      const [a, b] = [sequenceOf(2 * KV_BLOCK_SIZE), sequenceOf(KV_BLOCK_SIZE)];
      const names = new Map([[a, 'a'] as const, [b, 'b'] as const]);
      scheduler.add(a);
      scheduler.add(b);
      const steps = Array.from({ length: KV_BLOCK_SIZE + 2 }, () => step(scheduler, names));
      assert.deepEqual([steps[0], steps[1], steps.at(-1)], ['a32 b16', 'a1 b1', 'a1']);
      const { status, numComputed, length, blockIds } = b;
      assert.deepEqual([status, numComputed, length, blockIds.length], ['waiting', 0, 2 * KV_BLOCK_SIZE + 1, 0]);
      scheduler.finish(a);
      const numKept = prefixCache ? KV_BLOCK_SIZE : 0;
      assert.equal(step(scheduler, names), `b${2 * KV_BLOCK_SIZE + 1 - numKept}`);
      scheduler.finish(b);
      assert.equal(blocks.numAvailable, 5);
      assert.deepEqual([scheduler.numSequences, scheduler.schedule().scheduled], [0, []]);
      assert.equal(scheduler.numPreemptions, 1);
    });
  }

  it('takes at most so many prompt tokens beside sequences that decode, in whole blocks, and as many as fit alone', () => {
    const { scheduler } = schedulerOf(40, { maxNumBatchedTokens: 200 });
    const [a, b] = [sequenceOf(150), sequenceOf(100)];
    const names = new Map([[a, 'a'] as const, [b, 'b'] as const]);
    scheduler.add(a);
    const next = () => step(scheduler, names, 40);
    assert.equal(next(), 'a150');
    scheduler.add(b);
    assert.deepEqual([next(), next(), next(), next()], ['a1 b32', 'a1 b32', 'a1 b36', 'a1 b1']);
  });

  it('checks guesses where there is room, and never takes room from others for them', () => {
    const { scheduler } = schedulerOf(3);
    const [a, b] = [sequenceOf(KV_BLOCK_SIZE - 1), sequenceOf(KV_BLOCK_SIZE - 1)];
    for (const sequence of [a, b]) scheduler.add(sequence);
    step(scheduler, new Map());
    for (const sequence of [a, b]) sequence.draft([1, 2, 3]);
    const { scheduled } = scheduler.schedule();
    assert.deepEqual(
      scheduled.map(({ numTokens, numDrafted }) => [numTokens, numDrafted]),
      [
        [1, 3],
        [1, 0],
      ],
    );
  });
});

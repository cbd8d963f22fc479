import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mergeReplies } from './merge-replies.ts';

async function* giving<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

async function* failingAfter<T>(item: T): AsyncGenerator<T> {
  yield item;
  throw new Error('the engine broke');
}

describe('mergeReplies', () => {
  it('gives every item once, in the order of its source', async () => {
    const seen: number[][] = [[], []];
    for await (const { index, item } of mergeReplies([giving(1, 2, 3), giving(4, 5)])) seen[index]!.push(item);
    assert.deepEqual(seen, [
      [1, 2, 3],
      [4, 5],
    ]);
  });

  it('throws what a source throws', async () => {
    const merged = mergeReplies([giving(1, 2), failingAfter(3)]);
    await assert.rejects(
      async () => {
        for await (const _ of merged);
      },
      { message: 'the engine broke' },
    );
  });

  it('leaves no rejection unhandled when its reader stopped asking', async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on('unhandledRejection', note);
    const merged = mergeReplies([failingAfter(1), failingAfter(2)]);
    await merged.next();
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    assert.deepEqual(unhandled, []);
  });
});

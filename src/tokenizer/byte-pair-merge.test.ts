import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergePairs } from './byte-pair-merge.ts';
import { IdSink } from './id-sink.ts';
import { ListedMerges, NO_MERGE, type MergeRules } from './merge-rules.ts';
import { RankQueue } from './rank-queue.ts';

const NUM_SYMBOLS = 4;

/** Random merges over symbols 0..3 and what earlier merges made. */
const randomRules = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 30 }).map((picks) => {
  const rules = new ListedMerges(picks.length);
  for (const [i, [left, right]] of picks.entries()) {
    const known = NUM_SYMBOLS + i;
    rules.add(left % known, right % known, known);
  }
  return rules;
});

/** The definition: merge the pair of lowest rank, the leftmost of equals, until none merges. */
function mergeByDefinition(rules: MergeRules, symbols: readonly number[]): number[] {
  const ids = [...symbols];
  for (;;) {
    let best = NO_MERGE;
    let at = -1;
    for (let i = 0; i + 1 < ids.length; i++) {
      const rank = rules.rank(ids[i]!, ids[i + 1]!);
      if (rank < best) [best, at] = [rank, i];
    }
    if (best === NO_MERGE) return ids;
    ids.splice(at, 2, rules.mergedId(ids[at]!, ids[at + 1]!, best));
  }
}

test('merges short and long pieces as the definition says', () => {
  const symbols = fc.array(fc.nat(NUM_SYMBOLS - 1), { maxLength: 200 });
  fc.assert(
    fc.property(randomRules, symbols, (rules, piece) => {
      const sink = new IdSink();
      mergePairs(rules, Int32Array.from(piece), piece.length, sink);
      assert.deepEqual(sink.toArray(), mergeByDefinition(rules, piece));
    }),
    { seed: 1, numRuns: 400 },
  );
});

test('takes places by rank, then from left to right, in whatever order they come', () => {
  const pushes = fc.array(fc.tuple(fc.nat(3), fc.nat(50), fc.boolean()), { maxLength: 100 });
  fc.assert(
    fc.property(pushes, (steps) => {
      const queue = new RankQueue();
      let expected: [number, number][] = [];
      const takeOne = () => {
        const bucket = queue.lowest();
        assert.equal(bucket === null, expected.length === 0);
        if (bucket === null) return;
        expected = expected.toSorted(([a, b], [c, d]) => a - c || b - d);
        assert.deepEqual([bucket.rank, bucket.take()], expected.shift());
      };
      for (const [rank, place, takesAfter] of steps) {
        queue.push(rank, place);
        expected.push([rank, place]);
        if (takesAfter) takeOne();
      }
      while (expected.length > 0) takeOne();
    }),
    { seed: 2, numRuns: 300 },
  );
});

test('takes a time that does not grow with the square of a long run', () => {
  // Counted, not clocked: every merge may look up a bounded number of pairs.
  let lookups = 0;
  const rules: MergeRules = {
    rank: (left, right) => {
      lookups++;
      return left === right && left < 18 ? left : NO_MERGE;
    },
    mergedId: (left) => left + 1,
  };
  const sink = new IdSink();
  const length = 2 ** 18;
  mergePairs(rules, new Int32Array(length), length, sink);
  assert.deepEqual(sink.toArray(), [18]);
  assert.ok(lookups <= 4 * length);
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CapacityError, CriaError } from '../util/errors.ts';
import { BlockManager, type BlockTable } from './block-manager.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';

const NUM_BLOCKS = 12;

const emptyTable = (): BlockTable => ({ blockIds: [], numPublished: 0 });

/** A table beside what is known of it: its tokens, and how many are computed. */
interface Tracked {
  readonly table: BlockTable;
  ids: Int32Array;
}

/** Few different contents, so that prefixes meet: block i of a text says which of two it is. */
function textOf(choices: readonly number[], numTokens: number): Int32Array {
  return Int32Array.from({ length: numTokens }, (_, i) => choices[Math.floor(i / KV_BLOCK_SIZE) % choices.length]!);
}

/** What each slot block was last written with, by the block's tokens and all before: what its keys and values would depend on. */
class Contents {
  readonly #of = new Map<number, string>();

  write({ table, ids }: Tracked, from: number): void {
    for (let i = Math.floor(from / KV_BLOCK_SIZE); i * KV_BLOCK_SIZE < ids.length; i++) {
      this.#of.set(table.blockIds[i]!, ids.subarray(0, (i + 1) * KV_BLOCK_SIZE).join());
    }
  }

  copy(from: number, to: number): void {
    this.#of.set(to, this.#of.get(from)!);
  }

  check({ table, ids }: Tracked): void {
    for (let i = 0; i * KV_BLOCK_SIZE < ids.length; i++) {
      assert.equal(this.#of.get(table.blockIds[i]!), ids.subarray(0, (i + 1) * KV_BLOCK_SIZE).join());
    }
  }
}

/** Fills a table with a text: takes what is cached, computes the rest, makes it known. */
function fill(manager: BlockManager, contents: Contents, tracked: Tracked, ids: Int32Array): boolean {
  const cached = manager.adopt(tracked.table, ids.subarray(0, ids.length - 1));
  if (!manager.canGrow(tracked.table, ids.length)) {
    assert.throws(() => manager.grow(tracked.table, ids.length), CapacityError);
    manager.release(tracked.table);
    return false;
  }
  manager.grow(tracked.table, ids.length);
  tracked.ids = ids;
  contents.write(tracked, cached);
  manager.publish(tracked.table, ids);
  return true;
}

/** Writes one more token, into a block of the table's own. */
function extend(manager: BlockManager, contents: Contents, tracked: Tracked, id: number): void {
  const { table, ids } = tracked;
  const isShared = manager.isShared(table, ids.length);
  if (!manager.canGrow(table, ids.length + 1) || (isShared && manager.numAvailable === 0)) return;
  if (isShared) {
    const { from, to } = manager.makeOwn(table, ids.length);
    contents.copy(from, to);
  }
  manager.grow(table, ids.length + 1);
  tracked.ids = Int32Array.of(...ids, id);
  contents.write(tracked, ids.length);
  manager.publish(table, tracked.ids);
}

describe('block manager', () => {
  it('never loses, crosses or overwrites a block, whatever is asked of it', () => {
    const operation = fc.record({
      kind: fc.constantFrom('fill', 'extend', 'extend', 'fork', 'release', 'forget'),
      table: fc.nat(4),
      other: fc.nat(4),
      choices: fc.array(fc.nat(1), { minLength: 1, maxLength: 6 }),
      numTokens: fc.integer({ min: 1, max: (NUM_BLOCKS + 1) * KV_BLOCK_SIZE }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
        const manager = new BlockManager(NUM_BLOCKS);
        const contents = new Contents();
        const all: Tracked[] = Array.from({ length: 5 }, () => ({ table: emptyTable(), ids: new Int32Array(0) }));
        for (const { kind, table, other, choices, numTokens } of operations) {
          const [tracked, second] = [all[table]!, all[other]!];
          const isEmpty = tracked.ids.length === 0;
          if (kind === 'fill' && isEmpty) fill(manager, contents, tracked, textOf(choices, numTokens));
          else if (kind === 'extend' && !isEmpty) extend(manager, contents, tracked, choices[0]!);
          else if (kind === 'fork' && isEmpty) {
            manager.share(second.table, tracked.table, second.ids.length);
            tracked.ids = second.ids;
          } else if (kind === 'release') {
            manager.release(tracked.table);
            tracked.ids = new Int32Array(0);
          } else if (kind === 'forget' && all.every(({ ids }) => ids.length === 0)) {
            manager.forgetContents();
            assert.equal(manager.numCached, 0);
          }
          manager.checkInvariants(all.map((each) => each.table));
          for (const each of all) contents.check(each);
          const held = new Set(all.flatMap((each) => each.table.blockIds)).size;
          assert.equal(manager.numAvailable, NUM_BLOCKS - held);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('holds exactly as many tokens as its blocks have slots', () => {
    const manager = new BlockManager(2);
    const table = emptyTable();
    assert.equal(manager.canGrow(table, 2 * KV_BLOCK_SIZE), true);
    assert.equal(manager.canGrow(table, 2 * KV_BLOCK_SIZE + 1), false);
    manager.grow(table, 1);
    assert.equal(manager.numAvailable, 1);
    manager.grow(table, KV_BLOCK_SIZE);
    assert.equal(manager.numAvailable, 1);
  });

  it('keeps the blocks of a table together in groups, though tables grow in turn', () => {
    const manager = new BlockManager(12);
    const tables = [emptyTable(), emptyTable()];
    for (let numBlocks = 1; numBlocks <= 5; numBlocks++) {
      for (const table of tables) manager.grow(table, numBlocks * KV_BLOCK_SIZE);
    }
    // After two groups of four each finds no free group but the last, whose rest the other then shares.
    assert.deepEqual(tables[0]!.blockIds, [0, 1, 2, 3, 8]);
    assert.deepEqual(tables[1]!.blockIds, [4, 5, 6, 7, 9]);
    manager.release(tables[0]!);
    manager.grow(tables[1]!, 7 * KV_BLOCK_SIZE);
    assert.deepEqual(tables[1]!.blockIds, [4, 5, 6, 7, 9, 10, 11]);
    manager.grow(tables[0]!, KV_BLOCK_SIZE);
    assert.deepEqual(tables[0]!.blockIds, [0]);
  });

  it('finds a prefix that was computed before, block by block, and only after the same beginning', () => {
    const manager = new BlockManager(NUM_BLOCKS);
    const contents = new Contents();
    const first: Tracked = { table: emptyTable(), ids: new Int32Array(0) };
    const text = textOf([1, 2, 3], 3 * KV_BLOCK_SIZE + 5);
    fill(manager, contents, first, text);
    const blocks = [...first.table.blockIds];
    const same = emptyTable();
    assert.equal(manager.adopt(same, text), 3 * KV_BLOCK_SIZE);
    assert.deepEqual(same.blockIds, blocks.slice(0, 3));
    assert.equal(manager.adopt(emptyTable(), textOf([2, 2, 3], 48)), 0);
    manager.release(first.table);
    manager.release(same);
    assert.equal(manager.numCached, 3);
    const half = emptyTable();
    assert.equal(manager.adopt(half, textOf([1, 2, 9], 48)), 2 * KV_BLOCK_SIZE);
    manager.checkInvariants([half]);
  });

  it('forgets the least recently used prefix first, its end before its beginning, and never one that is held', () => {
    const manager = new BlockManager(8);
    const contents = new Contents();
    const tracked = (): Tracked => ({ table: emptyTable(), ids: new Int32Array(0) });
    const [old, recent] = [tracked(), tracked()];
    const oldText = textOf([1, 2, 3, 4], 4 * KV_BLOCK_SIZE);
    const recentText = textOf([5, 6, 7, 8], 4 * KV_BLOCK_SIZE);
    fill(manager, contents, old, oldText);
    fill(manager, contents, recent, recentText);
    manager.release(old.table);
    const held = emptyTable();
    assert.equal(manager.adopt(held, oldText.subarray(0, KV_BLOCK_SIZE)), KV_BLOCK_SIZE);
    manager.release(recent.table);
    const fresh = emptyTable();
    manager.grow(fresh, 3 * KV_BLOCK_SIZE);
    assert.equal(manager.adopt(emptyTable(), recentText), 4 * KV_BLOCK_SIZE);
    manager.checkInvariants([held, fresh, { blockIds: [4, 5, 6, 7], numPublished: 4 }]);
    assert.equal(manager.canGrow(emptyTable(), 1), false);
  });

  it('lets tables share a block that is not full until one writes', () => {
    const manager = new BlockManager(4);
    const [first, second] = [emptyTable(), emptyTable()];
    manager.grow(first, KV_BLOCK_SIZE + 3);
    manager.share(first, second, KV_BLOCK_SIZE + 3);
    assert.equal(manager.numAvailable, 2);
    assert.ok(manager.isShared(second, KV_BLOCK_SIZE + 3));
    assert.deepEqual(manager.makeOwn(second, KV_BLOCK_SIZE + 3), { from: 1, to: 2 });
    assert.equal(manager.isShared(first, KV_BLOCK_SIZE + 3), false);
    manager.checkInvariants([first, second]);
  });

  it('notices a block that is counted wrongly and one that is freed twice', () => {
    const manager = new BlockManager(3);
    const table = emptyTable();
    manager.grow(table, 1);
    assert.throws(() => manager.checkInvariants([]), CriaError);
    assert.throws(() => manager.checkInvariants([table, table]), CriaError);
    assert.throws(() => manager.release({ blockIds: [1], numPublished: 0 }), CriaError);
  });
});

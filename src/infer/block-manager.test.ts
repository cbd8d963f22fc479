import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CapacityError, CriaError } from '../util/errors.ts';
import { BlockManager, type BlockTable } from './block-manager.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';

const NUM_BLOCKS = 12;
const NUM_TABLES = 4;

describe('block manager', () => {
  it('never loses a block and never gives one to two tables, whatever is asked of it', () => {
    const operation = fc.record({
      table: fc.nat(NUM_TABLES - 1),
      tokens: fc.option(fc.integer({ min: 0, max: NUM_BLOCKS * KV_BLOCK_SIZE + 20 }), { nil: null }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const manager = new BlockManager(NUM_BLOCKS);
        const tables: BlockTable[] = Array.from({ length: NUM_TABLES }, () => ({ blockIds: [] }));
        for (const { table: index, tokens } of operations) {
          const table = tables[index]!;
          const before = [...table.blockIds];
          if (tokens === null) manager.release(table);
          else if (manager.canGrow(table, tokens)) manager.grow(table, tokens);
          else assert.throws(() => manager.grow(table, tokens), CapacityError);
          manager.checkInvariants(tables);
          if (tokens !== null) assert.deepEqual(table.blockIds.slice(0, before.length), before);
          const held = tables.reduce((sum, { blockIds }) => sum + blockIds.length, 0);
          assert.equal(manager.numFree, NUM_BLOCKS - held);
        }
      }),
    );
  });

  it('holds exactly as many tokens as its blocks have slots', () => {
    const manager = new BlockManager(2);
    const table = { blockIds: [] };
    assert.equal(manager.canGrow(table, 2 * KV_BLOCK_SIZE), true);
    assert.equal(manager.canGrow(table, 2 * KV_BLOCK_SIZE + 1), false);
    manager.grow(table, 1);
    assert.equal(manager.numFree, 1);
    manager.grow(table, KV_BLOCK_SIZE);
    assert.equal(manager.numFree, 1);
  });

  it('keeps the blocks of a table together in groups, though tables grow in turn', () => {
    const manager = new BlockManager(12);
    const tables: BlockTable[] = [{ blockIds: [] }, { blockIds: [] }];
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

  it('notices a block with two owners and one that is lost', () => {
    const manager = new BlockManager(3);
    const table: BlockTable = { blockIds: [] };
    manager.grow(table, 1);
    assert.throws(() => manager.checkInvariants([]), CriaError);
    assert.throws(() => manager.checkInvariants([table, table]), CriaError);
    assert.throws(() => manager.release({ blockIds: [1] }), CriaError);
  });
});

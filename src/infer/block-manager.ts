/**
 * Who owns KV memory: blocks of KV_BLOCK_SIZE slots, handed out and taken back. A block is free or in exactly one block table.
 * A table gets neighbouring blocks while there are any, in groups as large as the tiles of keys that attention works on: gathering a tile
 * from scattered blocks costs time, never correctness. Knows no tensors and no requests; prefix sharing will count references here.
 */
import { CapacityError, invariant } from '../util/errors.ts';
import { numBlocksFor } from './kv-cache.ts';

/** The blocks of one sequence, in the order of its tokens. Only a BlockManager changes it. */
export interface BlockTable {
  readonly blockIds: number[];
}

/** Neighbouring blocks that one table takes one after the other: 64 keys, the attention kernel's tile (kernels/attention-tiles.h). */
const GROUP_BLOCKS = 4;

/** Hands out the blocks 0 .. numBlocks - 1. */
export class BlockManager {
  readonly numBlocks: number;
  readonly #isUsed: Uint8Array;
  /** Free blocks of each group; the last group may be a short one. */
  readonly #freeInGroup: Uint8Array;
  #numFree: number;
  /** No group below this one is wholly free. */
  #firstFreeGroup = 0;

  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#numFree = numBlocks;
    this.#isUsed = new Uint8Array(numBlocks);
    this.#freeInGroup = new Uint8Array(Math.ceil(numBlocks / GROUP_BLOCKS));
    for (let id = 0; id < numBlocks; id++) this.#freeInGroup[groupOf(id)]!++;
  }

  get numFree(): number {
    return this.#numFree;
  }

  /** Whether `table` can be made to hold `numTokens` tokens. */
  canGrow(table: BlockTable, numTokens: number): boolean {
    return numBlocksFor(numTokens) - table.blockIds.length <= this.#numFree;
  }

  /** Adds blocks to `table` until it holds `numTokens` tokens; throws CapacityError, changing nothing, if there are too few. */
  grow(table: BlockTable, numTokens: number): void {
    const missing = numBlocksFor(numTokens) - table.blockIds.length;
    if (missing > this.#numFree) {
      throw new CapacityError(
        `${missing} more KV blocks are needed and ${this.#numFree} are free; wait until other requests end`,
      );
    }
    for (let i = 0; i < missing; i++) table.blockIds.push(this.#take(table.blockIds.at(-1) ?? null));
  }

  /** Takes back all blocks of `table`. */
  release(table: BlockTable): void {
    for (const id of table.blockIds) {
      invariant(this.#isUsed[id] === 1, `internal: block ${id} was freed twice`);
      this.#isUsed[id] = 0;
      this.#freeInGroup[groupOf(id)]!++;
      this.#firstFreeGroup = Math.min(this.#firstFreeGroup, groupOf(id));
    }
    this.#numFree += table.blockIds.length;
    table.blockIds.length = 0;
  }

  /** Throws unless every block is either free or in exactly one of `tables`. */
  checkInvariants(tables: Iterable<BlockTable>): void {
    const owners = new Uint8Array(this.numBlocks);
    for (const { blockIds } of tables) for (const id of blockIds) owners[id]!++;
    const wrong = owners.findIndex((count, id) => count !== this.#isUsed[id]);
    invariant(
      wrong === -1,
      `internal: block ${wrong} has ${owners[wrong]} owners and is marked ${this.#isUsed[wrong]}`,
    );
    const numUsed = owners.reduce((sum, count) => sum + count, 0);
    invariant(this.#numFree === this.numBlocks - numUsed, `internal: ${this.#numFree} blocks count as free`);
  }

  /** Takes the block after `last` in its group, else the first of a free group, else any. */
  #take(last: number | null): number {
    const next = last === null ? null : last + 1;
    if (next !== null && next % GROUP_BLOCKS !== 0 && this.#isUsed[next] === 0) return this.#mark(next);
    return this.#mark(this.#startOfFreeGroup() ?? this.#isUsed.indexOf(0));
  }

  #mark(id: number): number {
    invariant(this.#isUsed[id] === 0, `internal: block ${id} was free and used`);
    this.#isUsed[id] = 1;
    this.#freeInGroup[groupOf(id)]!--;
    this.#numFree--;
    return id;
  }

  #startOfFreeGroup(): number | null {
    const found = this.#freeInGroup.indexOf(GROUP_BLOCKS, this.#firstFreeGroup);
    this.#firstFreeGroup = found === -1 ? this.#freeInGroup.length : found;
    return found === -1 ? null : found * GROUP_BLOCKS;
  }
}

function groupOf(id: number): number {
  return Math.floor(id / GROUP_BLOCKS);
}

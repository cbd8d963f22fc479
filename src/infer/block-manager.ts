/**
 * Who owns KV memory: blocks of KV_BLOCK_SIZE slots, handed out and taken back. A block is free or in exactly one block table.
 * Knows no tensors and no requests; prefix sharing will count references here.
 */
import { CapacityError, invariant } from '../util/errors.ts';
import { numBlocksFor } from './kv-cache.ts';

/** The blocks of one sequence, in the order of its tokens. Only a BlockManager changes it. */
export interface BlockTable {
  readonly blockIds: number[];
}

/** Hands out the blocks 0 .. numBlocks - 1. */
export class BlockManager {
  readonly numBlocks: number;
  readonly #free: number[];
  readonly #isUsed: Uint8Array;

  /** `order` is the order in which blocks are first handed out: any, results never depend on it. */
  constructor(numBlocks: number, order: readonly number[] = Array.from({ length: numBlocks }, (_, id) => id)) {
    invariant(order.length === numBlocks, 'internal: the order of blocks names each once');
    this.numBlocks = numBlocks;
    this.#free = order.toReversed();
    this.#isUsed = new Uint8Array(numBlocks);
  }

  get numFree(): number {
    return this.#free.length;
  }

  /** Whether `table` can be made to hold `numTokens` tokens. */
  canGrow(table: BlockTable, numTokens: number): boolean {
    return numBlocksFor(numTokens) - table.blockIds.length <= this.#free.length;
  }

  /** Adds blocks to `table` until it holds `numTokens` tokens; throws CapacityError, changing nothing, if there are too few. */
  grow(table: BlockTable, numTokens: number): void {
    const missing = numBlocksFor(numTokens) - table.blockIds.length;
    if (missing > this.#free.length) {
      throw new CapacityError(
        `${missing} more KV blocks are needed and ${this.#free.length} are free; wait or free some`,
      );
    }
    for (let i = 0; i < missing; i++) {
      const id = this.#free.pop()!;
      invariant(this.#isUsed[id] === 0, `internal: block ${id} was free and used`);
      this.#isUsed[id] = 1;
      table.blockIds.push(id);
    }
  }

  /** Takes back all blocks of `table`. */
  release(table: BlockTable): void {
    for (const id of table.blockIds.toReversed()) {
      invariant(this.#isUsed[id] === 1, `internal: block ${id} was freed twice`);
      this.#isUsed[id] = 0;
      this.#free.push(id);
    }
    table.blockIds.length = 0;
  }

  /** Throws unless every block is either free or in exactly one of `tables`. */
  checkInvariants(tables: Iterable<BlockTable>): void {
    const owners = new Uint8Array(this.numBlocks);
    for (const id of this.#free) owners[id]!++;
    invariant(
      this.#isUsed.every((used, id) => used === 1 - owners[id]!),
      'internal: free blocks are marked as used',
    );
    for (const { blockIds } of tables) for (const id of blockIds) owners[id]!++;
    const wrong = owners.findIndex((count) => count !== 1);
    invariant(wrong === -1, `internal: block ${wrong} has ${owners[wrong]} owners`);
  }
}

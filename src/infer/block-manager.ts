/**
 * Who holds KV memory: blocks of KV_BLOCK_SIZE slots, handed out, shared and taken back. A block is held by the tables it is in, kept for its
 * content by the prefix cache, or free. A table gets neighbouring blocks while there are any, in groups as large as the tiles of keys that
 * attention works on: gathering a tile from scattered blocks costs time, never correctness. Knows no tensors and no requests.
 */
import { CapacityError, invariant } from '../util/errors.ts';
import { KV_BLOCK_SIZE, numBlocksFor } from './kv-cache.ts';
import { PrefixCache } from './prefix-cache.ts';

/** The blocks of one sequence, in the order of its tokens. Only a BlockManager changes it. */
export interface BlockTable {
  readonly blockIds: number[];
  /** So many blocks from the first are full and known to the prefix cache. */
  numPublished: number;
}

/** Slots to copy before the next step writes: all of one block to another. */
export interface BlockCopy {
  readonly from: number;
  readonly to: number;
}

/** Neighbouring blocks that one table takes one after the other: 64 keys, the attention kernel's tile (kernels/attention-tiles.h). */
const GROUP_BLOCKS = 4;

/** Hands out the blocks 0 .. numBlocks - 1. */
export class BlockManager {
  readonly numBlocks: number;
  /** Tables that each block is in. */
  readonly #numReferences: Int32Array;
  readonly #isFree: Uint8Array;
  /** Free blocks of each group; the last group may be a short one. */
  readonly #freeInGroup: Uint8Array;
  #cache = new PrefixCache();
  #numFree: number;
  /** No group below this one is wholly free. */
  #firstFreeGroup = 0;

  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#numFree = numBlocks;
    this.#numReferences = new Int32Array(numBlocks);
    this.#isFree = new Uint8Array(numBlocks).fill(1);
    this.#freeInGroup = new Uint8Array(Math.ceil(numBlocks / GROUP_BLOCKS));
    for (let id = 0; id < numBlocks; id++) this.#freeInGroup[groupOf(id)]!++;
  }

  /** Blocks that tables can get: free ones, and those that only the prefix cache keeps. */
  get numAvailable(): number {
    return this.#numFree + this.#cache.numIdle;
  }

  /** Blocks that no table holds and the prefix cache keeps. */
  get numCached(): number {
    return this.#cache.numIdle;
  }

  /** Whether `table` can be made to hold `numTokens` tokens. */
  canGrow(table: BlockTable, numTokens: number): boolean {
    return numBlocksFor(numTokens) - table.blockIds.length <= this.numAvailable;
  }

  /** Adds blocks to `table` until it holds `numTokens` tokens; throws CapacityError, changing nothing, if there are too few. */
  grow(table: BlockTable, numTokens: number): void {
    const missing = numBlocksFor(numTokens) - table.blockIds.length;
    if (missing > this.numAvailable) {
      throw new CapacityError(
        `${missing} more KV blocks are needed and ${this.numAvailable} are free; wait until other requests end`,
      );
    }
    for (let i = 0; i < missing; i++) table.blockIds.push(this.#take(table.blockIds.at(-1) ?? null));
  }

  /**
   * Lets `table` share the cached blocks that hold the tokens of `ids` after its published ones; only whole blocks, and only if nothing
   * is computed beyond those. Gives the number of tokens that the table then has.
   */
  adopt(table: BlockTable, ids: Int32Array): number {
    for (let i = table.numPublished; (i + 1) * KV_BLOCK_SIZE <= ids.length; i++) {
      const found = this.#cache.find(table.blockIds[i - 1] ?? null, ids, i * KV_BLOCK_SIZE);
      if (found === null) break;
      this.#replace(table, i, found);
      table.numPublished = i + 1;
    }
    return table.numPublished * KV_BLOCK_SIZE;
  }

  /** Makes the full blocks of the computed tokens `ids` known, so that others find them; one that is known already takes the place of its double. */
  publish(table: BlockTable, ids: Int32Array): void {
    for (let i = table.numPublished; (i + 1) * KV_BLOCK_SIZE <= ids.length; i++) {
      const parentId = table.blockIds[i - 1] ?? null;
      const known = this.#cache.find(parentId, ids, i * KV_BLOCK_SIZE);
      if (known === null) this.#cache.add(table.blockIds[i]!, parentId, ids, i * KV_BLOCK_SIZE);
      else this.#replace(table, i, known);
      table.numPublished = i + 1;
    }
  }

  /** Makes the empty table `to` share the first `numTokens` tokens of `from`; before either writes into the last block, it must be made its own. */
  share(from: BlockTable, to: BlockTable, numTokens: number): void {
    invariant(to.blockIds.length === 0, 'internal: a table that holds blocks cannot take over those of another');
    to.blockIds.push(...from.blockIds.slice(0, numBlocksFor(numTokens)));
    for (const id of to.blockIds) this.#numReferences[id]!++;
    to.numPublished = from.numPublished;
  }

  /** Whether the block for token `position` of `table` is in other tables too. */
  isShared(table: BlockTable, position: number): boolean {
    const id = table.blockIds[Math.floor(position / KV_BLOCK_SIZE)];
    return id !== undefined && this.#numReferences[id]! > 1;
  }

  /** Gives `table` a block of its own for token `position` instead of a shared one; the copy must be made before it is written to. */
  makeOwn(table: BlockTable, position: number): BlockCopy {
    const index = Math.floor(position / KV_BLOCK_SIZE);
    const from = table.blockIds[index]!;
    const to = this.#take(table.blockIds[index - 1] ?? null);
    this.#numReferences[from]!--;
    table.blockIds[index] = to;
    return { from, to };
  }

  /** Takes back the blocks of `table`, the last first, so that of those that stay cached the ends are forgotten before the beginnings. */
  release(table: BlockTable): void {
    for (const id of table.blockIds.toReversed()) this.#letGo(id);
    table.blockIds.length = 0;
    table.numPublished = 0;
  }

  /** Forgets all contents, as when the model changed; only while no table holds a block. */
  forgetContents(): void {
    while (this.#cache.numIdle > 0) this.#evict();
  }

  /** Throws unless every block is free, cached, or in exactly as many of `tables` as it is counted for. */
  checkInvariants(tables: Iterable<BlockTable>): void {
    const owners = new Int32Array(this.numBlocks);
    for (const { blockIds } of tables) for (const id of blockIds) owners[id]!++;
    const wrong = owners.findIndex((count, id) => count !== this.#numReferences[id]);
    invariant(
      wrong === -1,
      `internal: block ${wrong} is in ${owners[wrong]} tables and counted for ${this.#numReferences[wrong]}`,
    );
    let numFree = 0;
    for (let id = 0; id < this.numBlocks; id++) {
      const isFree = owners[id] === 0 && !this.#cache.has(id);
      invariant(isFree === (this.#isFree[id] === 1), `internal: block ${id} is lost, or free and used`);
      if (isFree) numFree++;
    }
    invariant(this.#numFree === numFree, `internal: ${this.#numFree} blocks count as free, ${numFree} are`);
    this.#cache.checkInvariants(owners);
  }

  /** Puts a cached block in place `index` of a table. */
  #replace(table: BlockTable, index: number, cachedId: number): void {
    const old = table.blockIds[index];
    if (old === cachedId) return;
    if (this.#numReferences[cachedId]!++ === 0) this.#cache.hold(cachedId);
    table.blockIds[index] = cachedId;
    if (old !== undefined) this.#letGo(old);
  }

  #letGo(id: number): void {
    invariant(this.#numReferences[id]! > 0, `internal: block ${id} was freed twice`);
    if (--this.#numReferences[id]! > 0) return;
    if (this.#cache.has(id)) this.#cache.letGo(id);
    else this.#free(id);
  }

  #free(id: number): void {
    this.#isFree[id] = 1;
    this.#numFree++;
    this.#freeInGroup[groupOf(id)]!++;
    this.#firstFreeGroup = Math.min(this.#firstFreeGroup, groupOf(id));
  }

  /** Takes the block after `last` in its group, else the first of a free group, else any. */
  #take(last: number | null): number {
    if (this.#numFree === 0) this.#evict();
    const next = last === null ? null : last + 1;
    const hasNext = next !== null && next % GROUP_BLOCKS !== 0 && this.#isFree[next] === 1;
    const id = hasNext ? next : (this.#startOfFreeGroup() ?? this.#isFree.indexOf(1));
    invariant(this.#isFree[id] === 1, 'internal: there was no block to take');
    this.#isFree[id] = 0;
    this.#numFree--;
    this.#freeInGroup[groupOf(id)]!--;
    this.#numReferences[id] = 1;
    return id;
  }

  /** Frees the least recently used content, and with it the rest of its group where that is idle too. */
  #evict(): void {
    const oldest = this.#cache.leastRecentlyUsed();
    invariant(oldest !== null, 'internal: there is no block to evict');
    const end = Math.min(this.numBlocks, (groupOf(oldest) + 1) * GROUP_BLOCKS);
    this.#forget(oldest);
    for (let id = end - 1; id >= groupOf(oldest) * GROUP_BLOCKS; id--) {
      if (this.#cache.canForget(id)) this.#forget(id);
    }
  }

  #forget(id: number): void {
    this.#cache.forget(id);
    this.#free(id);
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

/**
 * Which full KV blocks hold which tokens. A block is known by the block before it and by its own tokens, compared exactly, so that two
 * prefixes never pass for one another; a block's parent stays as long as the block does. Knows neither tables nor requests.
 */
import { invariant } from '../util/errors.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';

/** What the cache knows of a block. */
interface Entry {
  readonly key: string;
  readonly parentId: number | null;
  numChildren: number;
}

/** Blocks by content, and those that nobody holds in the order of their last use. */
export class PrefixCache {
  readonly #blockOf = new Map<string, number>();
  readonly #entries = new Map<number, Entry>();
  readonly #idle = new Set<number>(); // the least recently used first

  /** Blocks that nobody holds. */
  get numIdle(): number {
    return this.#idle.size;
  }

  has(blockId: number): boolean {
    return this.#entries.has(blockId);
  }

  /** The block that holds tokens [start, start + KV_BLOCK_SIZE) of `ids` after the block `parentId`; null if there is none. */
  find(parentId: number | null, ids: Int32Array, start: number): number | null {
    return this.#blockOf.get(keyOf(parentId, ids, start)) ?? null;
  }

  /** Makes a block that somebody holds known by these tokens, which no other block may be. */
  add(blockId: number, parentId: number | null, ids: Int32Array, start: number): void {
    const key = keyOf(parentId, ids, start);
    invariant(!this.#entries.has(blockId) && !this.#blockOf.has(key), `internal: block ${blockId} is cached twice`);
    if (parentId !== null) this.#entries.get(parentId)!.numChildren++;
    this.#blockOf.set(key, blockId);
    this.#entries.set(blockId, { key, parentId, numChildren: 0 });
  }

  /** Somebody holds the block again. */
  hold(blockId: number): void {
    this.#idle.delete(blockId);
  }

  /** The last holder let the block go: it is now the most recently used of the idle ones. */
  letGo(blockId: number): void {
    this.#idle.add(blockId);
  }

  /** The idle block that was used least recently; null if there is none. It has no idle children, as they are let go before it. */
  leastRecentlyUsed(): number | null {
    return this.#idle.values().next().value ?? null;
  }

  /** Whether the block can be forgotten: idle, and no block continues it. */
  canForget(blockId: number): boolean {
    return this.#idle.has(blockId) && this.#entries.get(blockId)!.numChildren === 0;
  }

  /** Forgets a block that can be forgotten. */
  forget(blockId: number): void {
    invariant(this.canForget(blockId), `internal: cached block ${blockId} is in use and was forgotten`);
    const { key, parentId } = this.#entries.get(blockId)!;
    if (parentId !== null) this.#entries.get(parentId)!.numChildren--;
    this.#blockOf.delete(key);
    this.#entries.delete(blockId);
    this.#idle.delete(blockId);
  }

  /** Throws unless exactly the blocks without references are idle, and every parent is known. */
  checkInvariants(numReferences: ArrayLike<number>): void {
    invariant(this.#blockOf.size === this.#entries.size, 'internal: two blocks of one content');
    const numChildren = new Map<number, number>();
    for (const [id, { parentId }] of this.#entries) {
      invariant(this.#idle.has(id) === (numReferences[id] === 0), `internal: cached block ${id} is held and idle`);
      if (parentId === null) continue;
      invariant(this.#entries.has(parentId), `internal: the parent of cached block ${id} is gone`);
      numChildren.set(parentId, (numChildren.get(parentId) ?? 0) + 1);
    }
    for (const [id, entry] of this.#entries) {
      invariant(entry.numChildren === (numChildren.get(id) ?? 0), `internal: block ${id} miscounts its children`);
    }
    for (const id of this.#idle) invariant(this.#entries.has(id), `internal: block ${id} is idle and not cached`);
  }
}

const units = new Uint16Array(2 * (KV_BLOCK_SIZE + 1));
const words = new Uint32Array(units.buffer);

/** Parent and tokens as a text of 32-bit numbers: equal keys are equal contents. */
function keyOf(parentId: number | null, ids: Int32Array, start: number): string {
  words[0] = parentId === null ? 0 : parentId + 1;
  for (let i = 0; i < KV_BLOCK_SIZE; i++) words[i + 1] = ids[start + i]!;
  return String.fromCharCode(...units);
}

/**
 * One request on its way through the engine: its tokens so far, how many of them the KV cache holds, and how it ends.
 */
import type { BlockTable } from './block-manager.ts';

export type FinishReason = 'stop' | 'length';
export type SequenceStatus = 'waiting' | 'running' | 'finished';

/** Grows token by token; `blockIds` belongs to the block manager. */
export class Sequence implements BlockTable {
  readonly blockIds: number[] = [];
  /** Most tokens it may reach, prompt included. */
  readonly maxLength: number;
  readonly promptLength: number;
  status: SequenceStatus = 'waiting';
  /** Tokens whose keys and values are in the cache. */
  numComputed = 0;
  readonly #ids: Int32Array;
  #length: number;

  constructor(promptIds: ArrayLike<number>, maxLength: number) {
    this.promptLength = promptIds.length;
    this.maxLength = maxLength;
    this.#ids = new Int32Array(maxLength);
    this.#ids.set(promptIds);
    this.#length = promptIds.length;
  }

  /** Tokens so far, prompt and reply. */
  get length(): number {
    return this.#length;
  }

  /** Tokens that the model has yet to read. */
  get numUncomputed(): number {
    return this.#length - this.numComputed;
  }

  /** Tokens [start, end). */
  ids(start: number, end: number): Int32Array {
    return this.#ids.subarray(start, end);
  }

  /** Adds a token of the reply. */
  append(id: number): void {
    this.#ids[this.#length++] = id;
  }
}

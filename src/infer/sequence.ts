/**
 * One request on its way through the engine: its tokens so far, how many of them the KV cache holds, and how it ends.
 */
import type { BlockTable } from './block-manager.ts';

export type FinishReason = 'stop' | 'length';
export type SequenceStatus = 'waiting' | 'running' | 'finished';

export interface SequenceOptions {
  /** Whether something is wanted of every token of the prompt, so that none may come from the prefix cache. */
  readonly isPromptWanted?: boolean;
  /** Most tokens of it in one step. */
  readonly maxChunkTokens?: number;
}

/** Grows token by token; `blockIds` and `numPublished` belong to the block manager. */
export class Sequence implements BlockTable {
  readonly blockIds: number[] = [];
  numPublished = 0;
  /** Most tokens it may reach, prompt included. */
  readonly maxLength: number;
  readonly promptLength: number;
  readonly isPromptWanted: boolean;
  readonly maxChunkTokens: number;
  status: SequenceStatus = 'waiting';
  /** Tokens whose keys and values are in the cache. */
  numComputed = 0;
  /** Prompt tokens that were in the cache already; null before the first step. */
  numCached: number | null = null;
  /** Guesses of speculation for the tokens that come next; they lie behind the tokens until the step that checks them is over. */
  numDrafted = 0;
  readonly #ids: Int32Array;
  #length: number;

  constructor(promptIds: ArrayLike<number>, maxLength: number, options: SequenceOptions = {}) {
    this.promptLength = promptIds.length;
    this.maxLength = maxLength;
    this.isPromptWanted = options.isPromptWanted ?? false;
    this.maxChunkTokens = options.maxChunkTokens ?? Infinity;
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

  /** Tokens [start, end), drafted ones behind the others. */
  ids(start: number, end: number): Int32Array {
    return this.#ids.subarray(start, end);
  }

  /** Adds a token of the reply. */
  append(id: number): void {
    this.#ids[this.#length++] = id;
  }

  /** Puts guesses behind the tokens, as many as the sequence may still take. */
  draft(ids: readonly number[]): void {
    this.numDrafted = Math.min(ids.length, this.maxLength - this.#length);
    for (let i = 0; i < this.numDrafted; i++) this.#ids[this.#length + i] = ids[i]!;
  }
}

/** Whether only the newest token of its reply is left to compute. */
export function isGenerating({ numUncomputed, length, promptLength }: Sequence): boolean {
  return numUncomputed === 1 && length > promptLength;
}

/**
 * For tests: a model without tensors whose logits depend on exactly the tokens before, through a KV cache that a wrong block, position, copy or
 * chunk would spoil.
 */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { BlockCopy } from './block-manager.ts';
import type { Runner } from './engine.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';
import type { Chunk } from './model-runner.ts';

export const VOCAB_SIZE = 50;

/** A number that stands for all tokens before and at a place. */
function fold(history: number, id: number): number {
  return (history * 31 + id + 7) % 65_521;
}

/** Holds, per slot, a number that depends on all tokens up to it, as keys and values do. */
export class StandIn implements Runner {
  readonly model;
  /** Lengths of the chunks of each step. */
  readonly steps: number[][] = [];
  isDisposed = false;
  failOnStep: number | null = null;
  numCopies = 0;
  readonly #cache: Float64Array;
  readonly #salt: number;

  /** Logits of another `salt` differ from the expected ones in some tokens. */
  constructor({ contextLength = 64, numBlocks = 16, salt = 0 } = {}) {
    this.#salt = salt;
    this.model = { config: { vocabSize: VOCAB_SIZE }, contextLength, numBlocks };
    this.#cache = new Float64Array(numBlocks * KV_BLOCK_SIZE).fill(NaN);
  }

  async run(chunks: readonly Chunk[]): Promise<Float32Array[]> {
    await setImmediate();
    this.steps.push(chunks.map(({ ids }) => ids.length));
    if (this.failOnStep === this.steps.length) throw new Error('the backend broke');
    return chunks.map((chunk) => this.#read(chunk));
  }

  copyBlocks(copies: readonly BlockCopy[]): void {
    for (const { from, to } of copies) {
      this.numCopies++;
      this.#cache.copyWithin(to * KV_BLOCK_SIZE, from * KV_BLOCK_SIZE, (from + 1) * KV_BLOCK_SIZE);
    }
  }

  #read({ ids, startPos, blockIds, logits }: Chunk): Float32Array {
    const slot = (position: number) =>
      blockIds[Math.floor(position / KV_BLOCK_SIZE)]! * KV_BLOCK_SIZE + (position % KV_BLOCK_SIZE);
    const rows: Float32Array[] = [];
    for (let i = 0; i < ids.length; i++) {
      const position = startPos + i;
      const history = position === 0 ? 1 : this.#cache[slot(position - 1)]!;
      const now = fold(history, ids[i]!);
      assert.ok(!Number.isNaN(now), 'a slot was read that nothing was written to');
      this.#cache[slot(position)] = now;
      if (logits === 'hidden') rows.push(Float32Array.of(now, position));
      else if (logits === 'all' || (logits === 'last' && i === ids.length - 1)) rows.push(logitsAfter(now, this.#salt));
    }
    return Float32Array.from(rows.flatMap((row) => Array.from(row)));
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

function logitsAfter(history: number, salt = 0): Float32Array {
  const logits = Float32Array.from({ length: VOCAB_SIZE }, (_, id) => ((history + id * 7919) % 997) / 100);
  for (let id = 0; id < salt * 4; id++) logits[id]! += salt;
  return logits;
}

/** Logits after these tokens. */
export function expectedLogits(ids: readonly number[]): Float32Array {
  return logitsAfter(ids.reduce(fold, 1));
}

/** Hidden states of these tokens. */
export function expectedHidden(ids: readonly number[]): number[][] {
  let history = 1;
  return ids.map((id, position) => [(history = fold(history, id)), position]);
}

/** What greedy decoding must give. */
export function expectedReply(promptIds: readonly number[], maxTokens: number): number[] {
  const ids = [...promptIds];
  for (let i = 0; i < maxTokens; i++) {
    const logits = expectedLogits(ids);
    ids.push(logits.indexOf(Math.max(...logits)));
  }
  return ids.slice(promptIds.length);
}

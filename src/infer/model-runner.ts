/**
 * Runs one forward pass over chunks of sequences: lays tokens, positions, slots and block tables out as the step's graph wants them, and
 * hands the logits back per chunk. Knows block tables, not who owns them.
 */
import { setImmediate } from 'node:timers/promises';
import type { OutputMemory, Storage, Values } from '../runtime/backend.ts';
import { byteLength } from '../tensor/dtype.ts';
import type { Sliced } from '../util/slices.ts';
import type { BlockCopy } from './block-manager.ts';
import { KV_BLOCK_SIZE, kvStateNames } from './kv-cache.ts';
import type { InferenceModel } from './model.ts';
import { MAX_PLANS, PlanCache } from './plan-cache.ts';
import { stepCompiler } from './step-compiler.ts';
import type { Logits } from './sampler.ts';
import type { StepShape } from './step-graph.ts';

/** New tokens of one sequence. */
export interface Chunk {
  readonly ids: ArrayLike<number>;
  /** Position of the first of them: the number of tokens that are in the KV cache already. */
  readonly startPos: number;
  /** Blocks of the sequence, for all tokens up to the last new one. */
  readonly blockIds: readonly number[];
  /** Of which tokens the logits are wanted; `hidden` wants the final hidden states of all its tokens instead. */
  readonly logits: 'none' | 'last' | 'all' | 'hidden';
}

/** Runs steps of a loaded model. */
export class ModelRunner {
  readonly model: InferenceModel;
  readonly #plans: PlanCache;
  /** For the logits of steps, as large as the largest so far; larger ones than MAX_KEPT_LOGITS get memory of their own. */
  #memory = new Float32Array(0);
  #isDisposed = false;

  constructor(model: InferenceModel) {
    this.model = model;
    this.#plans = new PlanCache(stepCompiler(model));
  }

  /**
   * Makes what steps in which up to so many sequences decode run on, so that no stream waits for it: the first ones take tens of
   * milliseconds each, until the JavaScript engine has compiled what makes them. Half of what is kept stays for the steps that run meanwhile.
   */
  *preparation(maxSequences: number): Sliced<void> {
    const most = Math.min(maxSequences, MAX_PLANS / 2);
    for (let count = 1; count <= most && !this.#isDisposed; count++) {
      this.#plans.get(decodeShape(count));
      yield;
    }
  }

  /**
   * Computes all chunks in one pass, each of another sequence; gives for each its logits [rows asked for * V], which the next run may
   * overwrite, or hidden states [tokens * D].
   */
  async run(chunks: readonly Chunk[]): Promise<Logits[]> {
    const rows = rowsOf(chunks, ({ logits }, length) => numWanted(length, logits));
    const hiddenRows = rowsOf(chunks, ({ logits }, length) => (logits === 'hidden' ? length : 0));
    const shape = shapeOf(chunks, rows.length, hiddenRows.length);
    const inputs = layOut(chunks, shape);
    if (rows.length > 0) inputs['rows'] = rows;
    if (hiddenRows.length > 0) inputs['hiddenRows'] = hiddenRows;
    if (!this.#plans.has(shape)) await setImmediate(); // whoever waits for tokens of the last step goes first: a plan takes milliseconds
    const outputs = await this.#plans.get(shape).run(inputs, this.#memoryFor(rows.length));
    return split(outputs as Record<string, Logits>, chunks, this.model.config);
  }

  #memoryFor(numRows: number): OutputMemory {
    const size = numRows * this.model.config.vocabSize;
    if (size > MAX_KEPT_LOGITS) return {};
    if (this.#memory.length < size) this.#memory = new Float32Array(size);
    return { logits: this.#memory };
  }

  /** Copies keys and values of whole blocks; not while a step runs. */
  copyBlocks(copies: readonly BlockCopy[]): void {
    for (let layer = 0; layer < this.model.config.numLayers; layer++) {
      for (const name of Object.values(kvStateNames(layer))) {
        const state = this.model.states.get(name)!;
        for (const copy of copies) copyBlock(state, copy);
      }
    }
  }

  /** Gives the plans back; the model's states live on. */
  dispose(): void {
    this.#isDisposed = true;
    this.#plans.clear();
  }
}

function copyBlock(state: Storage, { from, to }: BlockCopy): void {
  const [, width] = state.shape as [number, number];
  const copyIn = (memory: Uint8Array | Values, size: number) =>
    memory.copyWithin(to * size, from * size, (from + 1) * size);
  if (state.bytes) copyIn(state.bytes, byteLength(state.dtype, [KV_BLOCK_SIZE, width]));
  else {
    const values = state.read();
    copyIn(values, KV_BLOCK_SIZE * width);
    state.write(values);
  }
}

const MIN_ENTRIES = 32;
const MAX_KEPT_LOGITS = 2 ** 22; // 16 MiB

function shapeOf(chunks: readonly Chunk[], numRows: number, numHiddenRows: number): StepShape {
  const numTokens = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
  const used = chunks.reduce((sum, chunk) => sum + numEntries(chunk), 0);
  // Powers of two, so that a growing sequence keeps its plan.
  const capacity = Math.max(MIN_ENTRIES, 2 ** Math.ceil(Math.log2(used)));
  return {
    numTokens,
    numSegments: chunks.length,
    numEntries: capacity,
    numRows,
    numHiddenRows,
  };
}

/** The shape of a step in which so many sequences, none of them long, have one new token each. */
function decodeShape(count: number): StepShape {
  return shapeOf(
    Array.from({ length: count }, () => ({ ids: [0], startPos: 0, blockIds: [0], logits: 'last' })),
    count,
    0,
  );
}

function numEntries({ startPos, ids }: Chunk): number {
  return Math.ceil((startPos + ids.length) / KV_BLOCK_SIZE);
}

/** Rows of the step, the last so many of each chunk. */
function rowsOf(chunks: readonly Chunk[], numOf: (chunk: Chunk, length: number) => number): Int32Array {
  const rows: number[] = [];
  let first = 0;
  for (const chunk of chunks) {
    const { length } = chunk.ids;
    for (let i = length - numOf(chunk, length); i < length; i++) rows.push(first + i);
    first += length;
  }
  return Int32Array.from(rows);
}

function numWanted(numIds: number, logits: Chunk['logits']): number {
  return logits === 'all' ? numIds : logits === 'last' ? 1 : 0;
}

function layOut(chunks: readonly Chunk[], shape: StepShape): Record<string, Int32Array> {
  const [tokens, positions, slots] = [0, 1, 2].map(() => new Int32Array(shape.numTokens)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const segments = new Int32Array(shape.numSegments * 4);
  const blocks = new Int32Array(shape.numEntries);
  let [row, entry] = [0, 0];
  for (const [i, chunk] of chunks.entries()) {
    const { ids, startPos, blockIds } = chunk;
    segments.set([row, ids.length, startPos + ids.length, entry], i * 4);
    for (let j = 0; j < numEntries(chunk); j++) blocks[entry++] = blockIds[j]! * KV_BLOCK_SIZE;
    for (let j = 0; j < ids.length; j++, row++) {
      const position = startPos + j;
      tokens[row] = ids[j]!;
      positions[row] = position;
      slots[row] = blockIds[Math.floor(position / KV_BLOCK_SIZE)]! * KV_BLOCK_SIZE + (position % KV_BLOCK_SIZE);
    }
  }
  return { tokens, positions, slots, segments, blocks };
}

function split(
  { logits = new Float32Array(0), hidden = new Float32Array(0) }: Record<string, Logits>,
  chunks: readonly Chunk[],
  { vocabSize, dim }: { readonly vocabSize: number; readonly dim: number },
): Logits[] {
  let firstLogit = 0;
  let firstHidden = 0;
  return chunks.map(({ ids, logits: wanted }) => {
    if (wanted === 'hidden') return hidden.subarray(firstHidden, (firstHidden += ids.length * dim));
    return logits.subarray(firstLogit, (firstLogit += numWanted(ids.length, wanted) * vocabSize));
  });
}

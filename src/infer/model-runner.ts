/**
 * Runs one forward pass over chunks of sequences: lays tokens, positions, slots and block tables out as the step's graph wants them, and
 * hands the logits back per chunk. Knows block tables, not who owns them.
 */
import { compile } from '../runtime/compile.ts';
import { KV_BLOCK_SIZE } from './kv-cache.ts';
import type { InferenceModel } from './model.ts';
import { PlanCache } from './plan-cache.ts';
import type { Logits } from './sampler.ts';
import { stepGraph, type StepShape } from './step-graph.ts';

/** New tokens of one sequence. */
export interface Chunk {
  readonly ids: ArrayLike<number>;
  /** Position of the first of them: the number of tokens that are in the KV cache already. */
  readonly startPos: number;
  /** Blocks of the sequence, for all tokens up to the last new one. */
  readonly blockIds: readonly number[];
  /** Whose logits are wanted. */
  readonly logits: 'none' | 'last' | 'all';
}

/** Runs steps of a loaded model. */
export class ModelRunner {
  readonly model: InferenceModel;
  readonly #plans: PlanCache;

  constructor(model: InferenceModel) {
    this.model = model;
    this.#plans = new PlanCache((shape) => compile(stepGraph(model, shape), model.backend, model.states));
  }

  /** Computes all chunks in one pass, each of another sequence; gives for each its logits [rows asked for * V]. */
  async run(chunks: readonly Chunk[]): Promise<Logits[]> {
    const rows = wantedRows(chunks);
    const shape = shapeOf(chunks, rows.length);
    const inputs = layOut(chunks, shape);
    const outputs = await this.#plans
      .get(shape)
      .run(shape.numRows === null || rows.length === 0 ? inputs : { ...inputs, rows });
    return split((outputs['logits'] ?? new Float32Array(0)) as Logits, chunks, this.model.config.vocabSize);
  }

  /** Gives the plans back; the model's states live on. */
  dispose(): void {
    this.#plans.clear();
  }
}

const MIN_ENTRIES = 32;

function shapeOf(chunks: readonly Chunk[], numRows: number): StepShape {
  const numTokens = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
  const used = chunks.reduce((sum, chunk) => sum + numEntries(chunk), 0);
  // Powers of two, so that a growing sequence keeps its plan.
  const capacity = Math.max(MIN_ENTRIES, 2 ** Math.ceil(Math.log2(used)));
  return {
    numTokens,
    numSegments: chunks.length,
    numEntries: capacity,
    numRows: numRows === numTokens ? null : numRows,
  };
}

function numEntries({ startPos, ids }: Chunk): number {
  return Math.ceil((startPos + ids.length) / KV_BLOCK_SIZE);
}

function wantedRows(chunks: readonly Chunk[]): number[] {
  const rows: number[] = [];
  let first = 0;
  for (const { ids, logits } of chunks) {
    const wanted = numWanted(ids.length, logits);
    for (let i = ids.length - wanted; i < ids.length; i++) rows.push(first + i);
    first += ids.length;
  }
  return rows;
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

function split(logits: Logits, chunks: readonly Chunk[], vocabSize: number): Logits[] {
  let first = 0;
  return chunks.map(({ ids, logits: wanted }) => {
    const start = first;
    first += numWanted(ids.length, wanted) * vocabSize;
    return logits.subarray(start, first);
  });
}

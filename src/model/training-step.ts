/**
 * A Llama forward pass over packed training rows, as every training stage traces it: inputs by name, documents isolated by segments,
 * nothing cached.
 */
import type { Precision } from '../tensor/operators.ts';
import type { Tensor, Trace } from '../tensor/graph.ts';
import { type LlamaContext, llamaHidden, outputWeightName } from './llama3.ts';
import { type LlamaConfig, llamaWeightShapes } from './config.ts';
import { tokenLogProbs } from '../tensor/ops.ts';

/** Key slots per block table entry in training: any size works, since a document's slots are consecutive. */
export const TRAINING_BLOCK_SIZE = 64;

/** Sizes of a micro-batch; fixed, so that one plan serves all. */
export interface BatchShape {
  /** Tokens of all rows together. */
  numTokens: number;
  /** Segments (documents), unused ones having no queries. */
  numSegments: number;
  /** Block table entries of all segments together. */
  numBlocks: number;
}

/** State names of the rotary table. */
export const ROPE_TABLE = 'rope.table';

/** What the model needs beside `tokens`: declares the inputs `positions`, `segments`, `blocks` and the states. */
export function trainingContext(
  trace: Trace,
  config: LlamaConfig,
  batch: BatchShape,
  precision: Precision,
): LlamaContext {
  const weights = trainingWeights(trace, config);
  return {
    config,
    precision,
    weight: (name) => weights.get(name)!,
    positions: trace.input('positions', 'i32', [batch.numTokens]),
    ropeTable: trace.state(ROPE_TABLE, 'f32', [config.maxSeqLen, config.headDim]),
    blockSize: TRAINING_BLOCK_SIZE,
    layout: {
      segments: trace.input('segments', 'i32', [batch.numSegments, 4]),
      blocks: trace.input('blocks', 'i32', [batch.numBlocks]),
    },
    keepKeysValues: (_, fresh) => fresh,
  };
}

/** Every weight of the model as an f32 state, by Meta's name. */
export function trainingWeights(trace: Trace, config: LlamaConfig): ReadonlyMap<string, Tensor> {
  return new Map([...llamaWeightShapes(config)].map(([name, shape]) => [name, trace.state(name, 'f32', shape)]));
}

/** Log-probability f32 [T] of the input `targets` i32 [T] (negative: ignored, gives 0) under the model, given the input `tokens` i32 [T]. */
export function targetLogProbs(trace: Trace, batch: BatchShape, context: LlamaContext): Tensor {
  const hidden = llamaHidden(trace.input('tokens', 'i32', [batch.numTokens]), context);
  const output = context.weight(outputWeightName(context.config));
  return tokenLogProbs(hidden, output, trace.input('targets', 'i32', [batch.numTokens]), context.precision);
}

/**
 * One forward pass for generation as a graph: N new tokens of any mix of sequences in, the logits of the rows asked for out.
 * Prefill, chunked prefill, decode and any mix of them are this one graph at different sizes.
 *
 * T new tokens, S slots, E head dim, V vocabulary.
 */
import type { LlamaConfig } from '../model/config.ts';
import { type LlamaContext, llamaHidden, llamaLogits } from '../model/llama3.ts';
import { ROPE_TABLE } from '../model/training-step.ts';
import type { Shape } from '../tensor/dtype.ts';
import { type Graph, type Tensor, trace, type Trace } from '../tensor/graph.ts';
import type { Precision } from '../tensor/operators.ts';
import { cacheWrite, gather } from '../tensor/ops.ts';
import { KV_BLOCK_SIZE, kvStateNames, kvStateType, type KvType } from './kv-cache.ts';
import type { WeightForm, WeightStates } from './weight-states.ts';

/** What a model's graphs have in common. */
export interface StepModel {
  readonly config: LlamaConfig;
  readonly weightForm: WeightForm;
  readonly weightTypes: WeightStates;
  /** Arithmetic of the products, unless the weights are quantised. */
  readonly precision: Precision;
  readonly kvType: KvType;
  /** Longest sequence, in tokens: rows of the rotary table. */
  readonly contextLength: number;
  /** Blocks of the KV cache, of all sequences together. */
  readonly numBlocks: number;
}

/** What a step's graph depends on, and nothing else. */
export interface StepShape {
  readonly numTokens: number;
  /** Sequences that have new tokens. */
  readonly numSegments: number;
  /** Places for block table entries. */
  readonly numEntries: number;
  /** Rows whose logits are wanted, named by the input `rows`. */
  readonly numRows: number;
  /** Rows whose final hidden states are wanted, named by the input `hiddenRows`. */
  readonly numHiddenRows: number;
}

/** Shapes of a step's inputs, all i32. */
export function stepInputs({
  numTokens,
  numSegments,
  numEntries,
  numRows,
  numHiddenRows,
}: StepShape): Map<string, Shape> {
  const shapes = new Map<string, Shape>([
    ['tokens', [numTokens]],
    ['positions', [numTokens]],
    ['slots', [numTokens]],
    ['segments', [numSegments, 4]],
    ['blocks', [numEntries]],
  ]);
  if (numRows > 0) shapes.set('rows', [numRows]);
  if (numHiddenRows > 0) shapes.set('hiddenRows', [numHiddenRows]);
  return shapes;
}

/**
 * Inputs as `stepInputs` says; outputs `logits` f32 [rows, V] and `hidden` f32 [hidden rows, D], where any are wanted. Steps with the same
 * inputs have the same graph but for their shapes.
 */
export function stepGraph(model: StepModel, shape: StepShape): Graph {
  const shapes = stepInputs(shape);
  return trace((t) => {
    const input = (name: string): Tensor => t.input(name, 'i32', shapes.get(name)!);
    const tokens = input('tokens');
    const context = stepContext(t, model, input);
    const hidden = llamaHidden(tokens, context);
    if (shapes.has('hiddenRows')) t.output('hidden', gather(hidden, input('hiddenRows')));
    if (shapes.has('rows')) t.output('logits', llamaLogits(gather(hidden, input('rows')), context));
  });
}

function stepContext(t: Trace, model: StepModel, input: (name: string) => Tensor): LlamaContext {
  const { config, precision, weightTypes, kvType, numBlocks } = model;
  const cache = kvStateType(config, kvType, numBlocks);
  const slots = input('slots');
  return {
    config,
    precision,
    weight: (name) => {
      const { dtype, shape: size } = weightTypes.get(name)!;
      return t.state(name, dtype, size);
    },
    positions: input('positions'),
    ropeTable: t.state(ROPE_TABLE, 'f32', [model.contextLength, config.headDim]),
    blockSize: KV_BLOCK_SIZE,
    layout: {
      segments: input('segments'),
      blocks: input('blocks'),
    },
    keepKeysValues: (layer, fresh) => {
      const names = kvStateNames(layer);
      return {
        keys: cacheWrite(t.state(names.keys, cache.dtype, cache.shape), fresh.keys, slots),
        values: cacheWrite(t.state(names.values, cache.dtype, cache.shape), fresh.values, slots),
      };
    },
  };
}

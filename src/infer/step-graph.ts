/**
 * One forward pass for generation as a graph: N new tokens of any mix of sequences in, the logits of the rows asked for out.
 * Prefill, chunked prefill, decode and any mix of them are this one graph at different sizes.
 *
 * T new tokens, S slots, E head dim, V vocabulary.
 */
import type { LlamaConfig } from '../model/config.ts';
import { type LlamaContext, llamaHidden, llamaLogits } from '../model/llama3.ts';
import { ROPE_TABLE } from '../model/training-step.ts';
import { type Graph, trace, type Trace } from '../tensor/graph.ts';
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
  /** Rows whose logits are wanted, named by the input `rows`; null wants all, in order. */
  readonly numRows: number | null;
  /** Rows whose final hidden states are wanted, named by the input `hiddenRows`. */
  readonly numHiddenRows: number;
}

/**
 * Inputs `tokens`, `positions`, `slots`, `segments`, `blocks` and, unless all rows are wanted, `rows` and `hiddenRows`; outputs `logits`
 * f32 [rows, V] and `hidden` f32 [hidden rows, D], where any are wanted.
 */
export function stepGraph(model: StepModel, shape: StepShape): Graph {
  return trace((t) => {
    const tokens = t.input('tokens', 'i32', [shape.numTokens]);
    const context = stepContext(t, model, shape);
    const hidden = llamaHidden(tokens, context);
    if (shape.numHiddenRows > 0) {
      t.output('hidden', gather(hidden, t.input('hiddenRows', 'i32', [shape.numHiddenRows])));
    }
    if (shape.numRows === 0) return;
    const wanted = shape.numRows === null ? hidden : gather(hidden, t.input('rows', 'i32', [shape.numRows]));
    t.output('logits', llamaLogits(wanted, context));
  });
}

function stepContext(t: Trace, model: StepModel, shape: StepShape): LlamaContext {
  const { config, precision, weightTypes, kvType, numBlocks } = model;
  const cache = kvStateType(config, kvType, numBlocks);
  const slots = t.input('slots', 'i32', [shape.numTokens]);
  return {
    config,
    precision,
    weight: (name) => {
      const { dtype, shape: size } = weightTypes.get(name)!;
      return t.state(name, dtype, size);
    },
    positions: t.input('positions', 'i32', [shape.numTokens]),
    ropeTable: t.state(ROPE_TABLE, 'f32', [model.contextLength, config.headDim]),
    blockSize: KV_BLOCK_SIZE,
    layout: {
      segments: t.input('segments', 'i32', [shape.numSegments, 4]),
      blocks: t.input('blocks', 'i32', [shape.numEntries]),
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

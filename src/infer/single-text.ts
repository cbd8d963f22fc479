/**
 * A forward pass over one text without a cache: what looking inside a model needs. It touches no state but the weights, so it may run
 * while an engine serves others on the same model.
 *
 * T tokens.
 */
import { type LlamaContext } from '../model/llama3.ts';
import { ROPE_TABLE, TRAINING_BLOCK_SIZE } from '../model/training-step.ts';
import { compile } from '../runtime/compile.ts';
import type { Values } from '../runtime/backend.ts';
import { type Tensor, trace, type Trace } from '../tensor/graph.ts';
import type { InferenceModel } from './model.ts';
import { checkContextFits, checkIds } from './request.ts';

/** Runs what `body` traces on the tokens of one text, i32 [T], and gives its outputs; throws ConfigError or CapacityError if they do not fit the model. */
export async function runOnText(
  model: InferenceModel,
  ids: readonly number[],
  body: (tokens: Tensor, context: LlamaContext) => void,
  moreInputs: Readonly<Record<string, Int32Array>> = {},
): Promise<Readonly<Record<string, Values>>> {
  checkIds(ids, model.config.vocabSize);
  checkContextFits(ids.length, model.contextLength);
  const T = ids.length;
  const graph = trace((t) => body(t.input('tokens', 'i32', [T]), uncachedContext(t, model, T)));
  const executable = compile(graph, model.backend, model.states);
  try {
    return await executable.run({
      ...moreInputs,
      tokens: Int32Array.from(ids),
      positions: Int32Array.from(ids, (_, position) => position),
      segments: Int32Array.of(0, T, T, 0), // one document of T queries and T keys
      blocks: Int32Array.from({ length: numBlocks(T) }, (_, block) => block * TRAINING_BLOCK_SIZE),
    });
  } finally {
    executable.dispose();
  }
}

function uncachedContext(t: Trace, model: InferenceModel, T: number): LlamaContext {
  const { config, precision, weightTypes } = model;
  return {
    config,
    precision,
    weight: (name) => {
      const { dtype, shape } = weightTypes.get(name)!;
      return t.state(name, dtype, shape);
    },
    positions: t.input('positions', 'i32', [T]),
    ropeTable: t.state(ROPE_TABLE, 'f32', [model.contextLength, config.headDim]),
    blockSize: TRAINING_BLOCK_SIZE,
    layout: { segments: t.input('segments', 'i32', [1, 4]), blocks: t.input('blocks', 'i32', [numBlocks(T)]) },
    keepKeysValues: (_, fresh) => fresh,
  };
}

function numBlocks(T: number): number {
  return Math.ceil(T / TRAINING_BLOCK_SIZE);
}

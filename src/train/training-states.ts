/**
 * Everything a training run keeps between steps: weights, gradients, both moments of AdamW and the rotary table, as states of a backend.
 */
import { gradientName, momentNames } from '../optim/adamw.ts';
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { initialWeight } from '../model/init.ts';
import { ropeTable } from '../model/rope.ts';
import { ROPE_TABLE } from '../model/training-step.ts';
import { criaParamsJson } from '../formats/meta-params.ts';
import type { Backend, Storage } from '../runtime/backend.ts';
import { createStates, type StateStore } from '../runtime/compile.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { writeTiktoken } from '../tokenizer/tiktoken-file.ts';
import type { CheckpointContents } from './checkpoint.ts';
import { byteLength, numValues, type Shape } from '../tensor/dtype.ts';

/** Name and shape of every state of a run that trains all weights. */
function trainingStateShapes(config: LlamaConfig): Map<string, Shape> {
  const shapes = new Map<string, Shape>([[ROPE_TABLE, [config.maxSeqLen, config.headDim]]]);
  for (const [name, shape] of llamaWeightShapes(config)) {
    for (const state of [name, gradientName(name), ...momentNames(name)]) shapes.set(state, shape);
  }
  return shapes;
}

/** Bytes of all states together. */
export function trainingStateBytes(config: LlamaConfig): number {
  return [...trainingStateShapes(config).values()].reduce((total, shape) => total + byteLength('f32', shape), 0);
}

/** The states of a fresh run: random weights of this seed, gradients and moments 0. */
export function createTrainingStates(backend: Backend, config: LlamaConfig, seed: number): StateStore {
  const states: StateStore = new Map();
  createStates(backend, states, trainingStateShapes(config), 'f32');
  for (const [name, shape] of llamaWeightShapes(config)) {
    states.get(name)!.write(initialWeight(config, name, numValues(shape), seed));
  }
  states.get(ROPE_TABLE)!.write(ropeTable(config, config.maxSeqLen));
  return states;
}

/** What a checkpoint of these states holds: a model folder that can be used as it is, and the moments. */
export function trainedModelContents(
  config: LlamaConfig,
  tokenizer: Tokenizer,
  states: StateStore,
): CheckpointContents {
  const weights = [...llamaWeightShapes(config).keys()];
  const pick = (names: readonly string[]): Map<string, Storage> =>
    new Map(names.map((name) => [name, states.get(name)!]));
  const { modelFile, specialTokensJson } = writeTiktoken(tokenizer);
  return {
    tensors: { 'model.safetensors': pick(weights), 'optimizer.safetensors': pick(weights.flatMap(momentNames)) },
    files: {
      'params.json': `${JSON.stringify(criaParamsJson(config), null, 2)}\n`,
      'tokenizer.model': modelFile,
      'special_tokens.json': specialTokensJson,
    },
  };
}

/**
 * A model loaded for inference: its weights, rotary table and KV cache as states of a backend. Weights come in one tensor at a time.
 * Knows nothing of sequences and steps.
 */
import { readTensorF32, type TensorSource } from '../formats/tensor-source.ts';
import type { LlamaConfig } from '../model/config.ts';
import { ropeTable } from '../model/rope.ts';
import { ROPE_TABLE } from '../model/training-step.ts';
import { checkMemory } from '../runtime/available-memory.ts';
import type { Backend } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import { byteLength, numValues } from '../tensor/dtype.ts';
import type { Precision } from '../tensor/operators.ts';
import { CapacityError, ConfigError } from '../util/errors.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { kvStateNames, kvStateType, type KvType, numBlocksFor } from './kv-cache.ts';
import type { StepModel } from './step-graph.ts';
import { type StateType, weightStates } from './weight-states.ts';
import { precisionOf, type WeightType } from './weight-type.ts';

export interface ModelOptions {
  readonly weightType: WeightType;
  readonly kvType: KvType;
  /** Longest sequence in tokens, prompt and reply together; at most the model's own. */
  readonly contextLength: number;
  /** So many sequences of that length fit into the KV cache at once. */
  readonly batch: number;
}

/** The sizes of a model and where it lives. */
export interface InferenceModel extends StepModel {
  readonly backend: Backend;
  readonly states: StateStore;
}

/** Called after each tensor with the share of all values loaded. */
export type OnProgress = (share: number) => void;

/** Loads the weights of a checkpoint. Throws CapacityError, before taking memory, if it does not suffice. */
export async function loadModel(
  { config, weights }: { config: LlamaConfig; weights: TensorSource },
  backend: Backend,
  options: ModelOptions,
  onProgress: OnProgress = () => {},
): Promise<InferenceModel> {
  const model = createModel(config, backend, options);
  const types = [...weightStates(config, options.weightType)];
  const total = types.reduce((sum, [, { shape }]) => sum + numValues(shape), 0);
  let loaded = 0;
  for (const [name, { shape }] of types) {
    model.states.get(name)!.write(await readTensorF32(weights, name));
    loaded += numValues(shape);
    onProgress(loaded / total);
  }
  return model;
}

// The standard deviation models are trained from, so that activations stay in a usual range.
const RANDOM_STD = 0.02;
const RANDOM_PERIOD = 1_000_003; // a prime: rows of a matrix differ

/** A model of random weights, to measure speed with. They repeat after a million values, as drawing all of them would take minutes. */
export function randomModel(config: LlamaConfig, backend: Backend, options: ModelOptions): InferenceModel {
  const model = createModel(config, backend, options);
  const period = new Float32Array(RANDOM_PERIOD);
  fillNormal(period, randomStream(0, 'random weights'), { std: RANDOM_STD });
  for (const [name, { shape }] of weightStates(config, options.weightType)) {
    const values = new Float32Array(numValues(shape));
    if (shape.length === 1) values.fill(1);
    else
      for (let at = 0; at < values.length; at += RANDOM_PERIOD) values.set(period.subarray(0, values.length - at), at);
    model.states.get(name)!.write(values);
  }
  return model;
}

/**
 * A model on the weights of a trainer, f32 rows by Meta's names in `weights`: they are shared, not copied, so that it always generates with
 * the newest ones. Results are those of the training step, bit for bit.
 */
export function trainedModel(
  config: LlamaConfig,
  backend: Backend,
  weights: StateStore,
  options: Pick<ModelOptions, 'contextLength' | 'batch'> & { readonly precision: Precision },
): InferenceModel {
  const sizes = sizesOf(config, { ...options, weightForm: 'rows', kvType: 'f32' });
  const names = [...weightStates(config, 'rows').keys()];
  return addStates(backend, sizes, new Map(names.map((name) => [name, weights.get(name)!])));
}

/** Takes the memory of a model: weights still zero, the rotary table filled, the cache empty. */
export function createModel(config: LlamaConfig, backend: Backend, options: ModelOptions): InferenceModel {
  const { weightType } = options;
  const sizes = sizesOf(config, { ...options, weightForm: weightType, precision: precisionOf(weightType) });
  const largestTensor = Math.max(...[...weightStates(config, weightType).values()].map(bytesAsF32));
  checkMemory(
    stateBytes(sizes) + largestTensor, // which is held as f32 while it is packed
    `this model with a context of ${options.contextLength} tokens`,
    'use a shorter --context, --precision q4 or a smaller model',
  );
  return addStates(backend, sizes, new Map());
}

function sizesOf(
  config: LlamaConfig,
  { batch, ...sizes }: Omit<StepModel, 'config' | 'numBlocks'> & { readonly batch: number },
): StepModel {
  checkContext(sizes.contextLength, config);
  return { ...sizes, config, numBlocks: numBlocksFor(sizes.contextLength) * batch };
}

function addStates(backend: Backend, sizes: StepModel, states: StateStore): InferenceModel {
  for (const [name, { dtype, shape }] of inferenceStates(sizes)) {
    if (!states.has(name)) states.set(name, backend.createStorage(dtype, shape));
  }
  states.get(ROPE_TABLE)!.write(ropeTable(sizes.config, sizes.contextLength));
  return { ...sizes, backend, states };
}

/** Type of every state that inference keeps: weights, rotary table, keys and values. */
export function inferenceStates({
  config,
  weightForm,
  kvType,
  contextLength,
  numBlocks,
}: StepModel): Map<string, StateType> {
  const types = weightStates(config, weightForm);
  types.set(ROPE_TABLE, { dtype: 'f32', shape: [contextLength, config.headDim] });
  const cache = kvStateType(config, kvType, numBlocks);
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const name of Object.values(kvStateNames(layer))) types.set(name, cache);
  }
  return types;
}

/** Bytes of all states of a model together. */
export function stateBytes(sizes: StepModel): number {
  let total = 0;
  for (const { dtype, shape } of inferenceStates(sizes).values()) total += byteLength(dtype, shape);
  return total;
}

function bytesAsF32({ shape }: StateType): number {
  return byteLength('f32', shape);
}

function checkContext(contextLength: number, { maxSeqLen }: LlamaConfig): void {
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new ConfigError(`the context must be a whole number of tokens from 1, got ${contextLength}`);
  }
  if (contextLength > maxSeqLen) {
    throw new CapacityError(
      `a context of ${contextLength} tokens is longer than the ${maxSeqLen} this model was trained for; use at most ${maxSeqLen}`,
    );
  }
}

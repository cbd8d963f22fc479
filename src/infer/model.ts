/**
 * A model loaded for inference: its weights, rotary table and KV cache as states of a backend. Weights come in a few rows at a time, or as
 * a whole from the cache of packed weights.
 * Knows nothing of sequences and steps.
 */
import type { TensorSource } from '../formats/tensor-source.ts';
import type { LlamaConfig } from '../model/config.ts';
import { ropeTable } from '../model/rope.ts';
import { ROPE_TABLE } from '../model/training-step.ts';
import { checkMemory } from '../runtime/available-memory.ts';
import type { Backend } from '../runtime/backend.ts';
import type { StateStore } from '../runtime/compile.ts';
import { byteLength } from '../tensor/dtype.ts';
import type { Precision } from '../tensor/operators.ts';
import { CapacityError, ConfigError } from '../util/errors.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { rowChunks, packTensor } from './pack-weights.ts';
import { type CachePlaces, PackedCache } from './packed-cache.ts';
import { keptWeights } from './stored-weights.ts';
import { kvStateNames, kvStateType, type KvType, numBlocksFor } from './kv-cache.ts';
import type { StepModel } from './step-graph.ts';
import { bytesOf, kvTypeFor, type StateType, weightStates } from './weight-states.ts';
import { precisionOf, type WeightType } from './weight-type.ts';

export interface LoadOptions {
  /** `stored`: as the checkpoint has them, where panels hold that, else wider. */
  readonly weightType: WeightType | 'stored';
  /** Null: as exact as the weights. */
  readonly kvType: KvType | null;
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

/** What may happen while a model loads. */
export interface LoadHooks {
  /** Called after each tensor with the share of all values loaded. */
  readonly onProgress?: (share: number) => void;
  /** Told in one line what was done with the weights. */
  readonly onNotice?: (line: string) => void;
  /** Where packed weights are kept for the next start; null or none: nowhere. */
  readonly cachePlaces?: CachePlaces | null;
}

/** Loads the weights of a checkpoint. Throws CapacityError, before taking memory, if it does not suffice. */
export async function loadModel(
  { config, weights }: { readonly config: LlamaConfig; readonly weights: TensorSource },
  backend: Backend,
  options: LoadOptions,
  { onProgress = () => {}, onNotice = () => {}, cachePlaces = null }: LoadHooks = {},
): Promise<InferenceModel> {
  const kept = keptWeights(config, weights, options.weightType);
  const { form: weightForm, types: weightTypes, precision } = kept;
  const kvType = options.kvType ?? kvTypeFor(weightForm);
  const sizes = sizesOf(config, { ...options, kvType, weightForm, weightTypes, precision });
  checkStatesFit(sizes);
  if (kept.notice !== null) onNotice(kept.notice);
  const cache = cachePlaces && (await PackedCache.open(weights.path, kept, backend, cachePlaces, onNotice));
  const mapped = cache?.map(backend);
  if (mapped) {
    onProgress(1);
    return addStates(backend, sizes, mapped);
  }
  const model = addStates(backend, sizes, new Map());
  const total = bytesOf(kept.types);
  let loaded = 0;
  for (const [name, { dtype, shape }] of kept.types) {
    await packTensor(weights, name, model.states.get(name)!);
    loaded += byteLength(dtype, shape);
    onProgress(loaded / total);
  }
  await cache?.write(model.states);
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
  for (const [name, { shape }] of model.weightTypes) {
    const storage = model.states.get(name)!;
    if (shape.length === 1) {
      storage.write(new Float32Array(shape[0]!).fill(1));
      continue;
    }
    for (const [firstRow, numRows] of rowChunks(shape)) {
      storage.writeRows(firstRow, repeated(period, firstRow * shape[1]!, numRows * shape[1]!));
    }
  }
  return model;
}

/** Values [start, start + count) of an endless repetition of `period`. */
function repeated(period: Float32Array, start: number, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let at = 0; at < count;) {
    const piece = period.subarray((start + at) % period.length).subarray(0, count - at);
    values.set(piece, at);
    at += piece.length;
  }
  return values;
}

/**
 * A model on the weights of a trainer, f32 rows by Meta's names in `weights`: they are shared, not copied, so that it always generates with
 * the newest ones. Results are those of the training step, bit for bit.
 */
export function trainedModel(
  config: LlamaConfig,
  backend: Backend,
  weights: StateStore,
  options: Pick<LoadOptions, 'contextLength' | 'batch'> & { readonly precision: Precision },
): InferenceModel {
  const weightTypes = weightStates(config, 'rows');
  const sizes = sizesOf(config, { ...options, weightForm: 'rows', weightTypes, kvType: 'f32' });
  return addStates(backend, sizes, new Map([...weightTypes.keys()].map((name) => [name, weights.get(name)!])));
}

/** Options of a model all of whose matrices have one type. */
export type ModelOptions = Omit<LoadOptions, 'weightType' | 'kvType'> & {
  readonly weightType: WeightType;
  readonly kvType: KvType;
};

/** Takes the memory of a model: weights still zero, the rotary table filled, the cache empty. */
export function createModel(config: LlamaConfig, backend: Backend, options: ModelOptions): InferenceModel {
  const { weightType } = options;
  const weightTypes = weightStates(config, weightType);
  const sizes = sizesOf(config, {
    ...options,
    weightForm: weightType,
    weightTypes,
    precision: precisionOf(weightType),
  });
  checkStatesFit(sizes);
  return addStates(backend, sizes, new Map());
}

function checkStatesFit(sizes: StepModel): void {
  checkMemory(
    stateBytes(sizes),
    `this model with a context of ${sizes.contextLength} tokens`,
    'use a shorter --context, --precision q4 or a smaller model',
  );
}

function sizesOf(
  config: LlamaConfig,
  { batch, ...sizes }: Omit<StepModel, 'config' | 'numBlocks'> & { readonly batch: number },
): StepModel {
  checkContext(sizes.contextLength, config);
  const { weightForm, weightTypes, precision, kvType, contextLength } = sizes;
  const numBlocks = numBlocksFor(contextLength) * batch;
  return { config, weightForm, weightTypes, precision, kvType, contextLength, numBlocks };
}

function addStates(backend: Backend, sizes: StepModel, states: StateStore): InferenceModel {
  for (const [name, { dtype, shape }] of inferenceStates(sizes)) {
    if (!states.has(name)) states.set(name, backend.createStorage(dtype, shape));
  }
  states.get(ROPE_TABLE)!.write(ropeTable(sizes.config, sizes.contextLength));
  return { ...sizes, backend, states };
}

/** Type of every state that inference keeps: weights, rotary table, keys and values. */
function inferenceStates(sizes: StepModel): Map<string, StateType> {
  const { config, kvType, contextLength, numBlocks } = sizes;
  const types = new Map(sizes.weightTypes);
  types.set(ROPE_TABLE, { dtype: 'f32', shape: [contextLength, config.headDim] });
  const cache = kvStateType(config, kvType, numBlocks);
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const name of Object.values(kvStateNames(layer))) types.set(name, cache);
  }
  return types;
}

/** Bytes of all states of a model together. */
export function stateBytes(sizes: StepModel): number {
  return bytesOf(inferenceStates(sizes));
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

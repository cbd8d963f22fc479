/**
 * For tests: a small model of random weights that differ enough for its tokens to differ, and the backends to run it on.
 */
import type { LlamaConfig } from '../model/config.ts';
import type { Backend } from '../runtime/backend.ts';
import { createNativeBackend } from '../runtime/native.ts';
import { nativeUnavailableReason } from '../runtime/native-addon.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import { numValues } from '../tensor/dtype.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { createModel, type InferenceModel, type ModelOptions } from './model.ts';
import { weightStates } from './weight-states.ts';

/** Sizes that are no multiples of a vector or a panel, grouped heads, tied embeddings. */
export const TOY_CONFIG: LlamaConfig = {
  dim: 48,
  numLayers: 2,
  numHeads: 6,
  numKvHeads: 2,
  headDim: 8,
  ffnDim: 88,
  vocabSize: 101,
  normEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: null,
  maxSeqLen: 256,
  tiedEmbeddings: true,
};

/** A model of TOY_CONFIG; its next-token distributions are neither flat nor certain. */
export function toyModel(backend: Backend, options: Partial<ModelOptions> = {}, config = TOY_CONFIG): InferenceModel {
  const chosen: ModelOptions = { weightType: 'f32', kvType: 'f32', contextLength: 256, batch: 4, ...options };
  const model = createModel(config, backend, chosen);
  for (const [name, { shape }] of weightStates(config, chosen.weightType)) {
    const values = new Float32Array(numValues(shape));
    if (shape.length === 1) values.fill(1);
    else fillNormal(values, randomStream(5, name), { std: name === 'tok_embeddings.weight' ? 0.3 : 0.2 });
    model.states.get(name)!.write(values);
  }
  return model;
}

/** Every backend that can be used here, by a name for test titles. */
export function testBackends(): Map<string, () => Backend> {
  const backends = new Map<string, () => Backend>([
    ['reference float32', () => createReferenceBackend({ precision: 'float32' })],
  ]);
  if (nativeUnavailableReason() === null) {
    backends.set('native, 1 thread', () => createNativeBackend({ threads: 1 }));
    backends.set('native, 2 threads', () => createNativeBackend({ threads: 2 }));
  }
  return backends;
}

/** Token ids that look like a prompt, the same for the same `seed`. */
export function toyPrompt(length: number, seed = 1, vocabSize = TOY_CONFIG.vocabSize): number[] {
  const values = new Float64Array(length);
  fillNormal(values, randomStream(seed, 'prompt'), { std: 1000 });
  return Array.from(values, (value) => Math.abs(Math.trunc(value)) % vocabSize);
}

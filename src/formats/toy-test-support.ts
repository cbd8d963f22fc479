/**
 * For tests of this folder: the toy model that bench/peers/checkpoint_fixtures.py wrote in every layout.
 */
import { strict as assert } from 'node:assert';
import type { LlamaConfig } from '../model/config.ts';
import { openSafetensors } from './safetensors.ts';
import { readTensorBytes, readTensorF32, type TensorSource } from './tensor-source.ts';

export const FIXTURES = 'test/fixtures/formats';

export const TOY_CONFIG: LlamaConfig = {
  dim: 32,
  numLayers: 2,
  numHeads: 8,
  numKvHeads: 4,
  headDim: 4,
  ffnDim: 88,
  vocabSize: 48,
  normEps: 1e-5,
  ropeTheta: 500_000,
  ropeScaling: { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPosition: 8192 },
  maxSeqLen: 131_072,
  tiedEmbeddings: false,
};

/** The toy's weights in Meta's names and order, bfloat16, without the logits stored beside them. */
export async function openToyWeights(): Promise<TensorSource> {
  const file = await openSafetensors(`${FIXTURES}/toy.safetensors`);
  const tensors = new Map([...file.tensors].filter(([name]) => name.endsWith('.weight')));
  return {
    path: file.path,
    tensors,
    readRows: (name, firstRow, target) => file.readRows(name, firstRow, target),
    close: () => file.close(),
  };
}

/** Fails unless both sources hold the same tensors with the same stored bytes. */
export async function assertSameTensors(actual: TensorSource, expected: TensorSource): Promise<void> {
  assert.deepEqual([...actual.tensors.keys()].toSorted(), [...expected.tensors.keys()].toSorted());
  for (const [name, { dtype, shape }] of expected.tensors) {
    assert.equal(actual.tensors.get(name)?.dtype, dtype, name);
    assert.deepEqual(actual.tensors.get(name)?.shape, shape, name);
    assert.deepEqual(await readTensorBytes(actual, name), await readTensorBytes(expected, name), name);
  }
}

/** Fails unless both sources hold the same tensors with the same float32 values, whatever the stored type. */
export async function assertSameValues(actual: TensorSource, expected: TensorSource): Promise<void> {
  assert.deepEqual([...actual.tensors.keys()].toSorted(), [...expected.tensors.keys()].toSorted());
  for (const [name, { shape }] of expected.tensors) {
    assert.deepEqual(actual.tensors.get(name)?.shape, shape, name);
    assert.deepEqual(await readTensorF32(actual, name), await readTensorF32(expected, name), name);
  }
}

/**
 * Bytes that one decoding step must read: what memory bandwidth allows at best follows from it.
 */
import { outputWeightName } from '../model/llama3.ts';
import { byteLength } from '../tensor/dtype.ts';
import { kvBytesPerToken } from './kv-cache.ts';
import type { StepModel } from './step-graph.ts';

/** All weights that are multiplied, and the keys and values of sequences of these lengths. */
export function decodeBytes({ config, weightTypes, kvType }: StepModel, lengths: readonly number[]): number {
  const cached = lengths.reduce((sum, length) => sum + length, 0) * kvBytesPerToken(config, kvType);
  let weights = 0;
  for (const [name, { dtype, shape }] of weightTypes) {
    // A table that is only looked up gives one row a sequence.
    if (name !== 'tok_embeddings.weight' || outputWeightName(config) === name) weights += byteLength(dtype, shape);
  }
  return weights + cached;
}

/**
 * Weights to start training from: normal with variance 1 / (values a row sums over), so that products keep the size of what they are given
 * at any width; the two projections that add to the residual stream are scaled down by sqrt(2 * layers), so that its variance does not grow
 * with depth (GPT-2, sec. 2.3); embeddings normal(0, 0.02), norms 1. A fixed 0.02 everywhere, usual at widths near 2,500, is far too small
 * for narrow models (docs/experiments.md).
 */
import { fillNormal, randomStream } from '../util/rng.ts';
import type { LlamaConfig } from './config.ts';

const EMBEDDING_STD = 0.02;

/** The starting values of one weight: a pure function of seed and name. `numValues` is the size of the weight. */
export function initialWeight(config: LlamaConfig, name: string, numValues: number, seed: number): Float32Array {
  const values = new Float32Array(numValues);
  if (name.endsWith('norm.weight')) return values.fill(1);
  fillNormal(values, randomStream(seed, `init/${name}`), { std: startingStd(config, name) });
  return values;
}

function startingStd(config: LlamaConfig, name: string): number {
  if (name === 'tok_embeddings.weight') return EMBEDDING_STD;
  if (name.endsWith('w2.weight')) return 1 / Math.sqrt(config.ffnDim * 2 * config.numLayers);
  if (name.endsWith('wo.weight')) return 1 / Math.sqrt(config.numHeads * config.headDim * 2 * config.numLayers);
  return 1 / Math.sqrt(config.dim);
}

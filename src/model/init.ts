/**
 * Weights to start training from: normal(0, 0.02), the two projections that add to the residual stream scaled down by
 * sqrt(2 * layers) so that its variance does not grow with depth (GPT-2, sec. 2.3), norms 1.
 */
import { fillNormal, randomStream } from '../util/rng.ts';
import type { LlamaConfig } from './config.ts';

const INIT_STD = 0.02;

/** The starting values of one weight: a pure function of seed and name. `numValues` is the size of the weight. */
export function initialWeight(config: LlamaConfig, name: string, numValues: number, seed: number): Float32Array {
  const values = new Float32Array(numValues);
  if (name.endsWith('norm.weight')) return values.fill(1);
  const intoResidual = name.endsWith('wo.weight') || name.endsWith('w2.weight');
  const std = intoResidual ? INIT_STD / Math.sqrt(2 * config.numLayers) : INIT_STD;
  fillNormal(values, randomStream(seed, `init/${name}`), { std });
  return values;
}

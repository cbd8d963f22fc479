/**
 * Rotary position table: cos and sin of every position and frequency, with Llama 3.1's scaling of long wavelengths.
 * Source: meta-llama/llama-models models/llama3/model.py apply_scaling, precompute_freqs_cis.
 */
import type { LlamaConfig, RopeScaling } from './config.ts';

/** The headDim / 2 rotary frequencies, in radians per position, highest first. */
export function ropeFrequencies({
  headDim,
  ropeTheta,
  ropeScaling,
}: Pick<LlamaConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>): Float64Array {
  const frequencies = Float64Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** ((-2 * i) / headDim));
  return ropeScaling ? frequencies.map((frequency) => scaleFrequency(frequency, ropeScaling)) : frequencies;
}

function scaleFrequency(
  frequency: number,
  { factor, lowFreqFactor, highFreqFactor, originalMaxPosition }: RopeScaling,
): number {
  const wavelength = (2 * Math.PI) / frequency; // positions per turn
  if (wavelength < originalMaxPosition / highFreqFactor) return frequency;
  if (wavelength > originalMaxPosition / lowFreqFactor) return frequency / factor;
  const smooth = (originalMaxPosition / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** The table that the `rope` operator reads: [positions, headDim], row p holds (cos, sin) of p * frequency, pair by pair. */
export function ropeTable(
  config: Pick<LlamaConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>,
  positions: number,
): Float32Array {
  const frequencies = ropeFrequencies(config);
  const table = new Float32Array(positions * config.headDim);
  for (let position = 0, at = 0; position < positions; position++) {
    for (const frequency of frequencies) {
      table[at++] = Math.cos(position * frequency);
      table[at++] = Math.sin(position * frequency);
    }
  }
  return table;
}

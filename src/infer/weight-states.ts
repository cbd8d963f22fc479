/**
 * In which type each weight lies in memory for inference. Matrices are packed into panels once, norms stay f32; an embedding table that is
 * also the output projection is kept once, as a panel that `gather` reads too.
 */
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { outputWeightName } from '../model/llama3.ts';
import { byteLength, type DType, type Shape } from '../tensor/dtype.ts';
import type { Precision } from '../tensor/operators.ts';

export interface StateType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** 'panels' as a loaded model keeps them; 'rows' as a trainer does, in f32 and packed anew in each step. */
export type WeightLayout = 'panels' | 'rows';

/** Type of every weight, by Meta's name, for products in this precision. */
export function weightStates(
  config: LlamaConfig,
  precision: Precision,
  layout: WeightLayout = 'panels',
): Map<string, StateType> {
  const states = new Map<string, StateType>();
  for (const [name, shape] of llamaWeightShapes(config)) {
    if (layout === 'rows') {
      states.set(name, { dtype: 'f32', shape });
      continue;
    }
    const isOnlyLookedUp = name === 'tok_embeddings.weight' && outputWeightName(config) !== name;
    const dtype = shape.length === 1 ? 'f32' : isOnlyLookedUp ? precision : (`panel_${precision}` as const);
    states.set(name, { dtype, shape });
  }
  return states;
}

/** Bytes of all weights together. */
export function weightBytes(config: LlamaConfig, precision: Precision): number {
  let total = 0;
  for (const { dtype, shape } of weightStates(config, precision).values()) total += byteLength(dtype, shape);
  return total;
}

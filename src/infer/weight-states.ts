/**
 * In which type each weight lies in memory for inference. Matrices are packed into panels once, norms stay f32; an embedding table that is
 * also the output projection is kept once, as a panel that `gather` reads too.
 */
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { outputWeightName } from '../model/llama3.ts';
import { byteLength, type DType, type Shape } from '../tensor/dtype.ts';
import type { WeightType } from './weight-type.ts';

export interface StateType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** `rows` are those of a trainer: f32 as they lie, packed anew in each step. */
export type WeightForm = WeightType | 'rows';

interface MatrixTypes {
  readonly multiplied: DType;
  /** Of an embedding table that is nothing else. */
  readonly lookedUp: DType;
}

const MATRIX_TYPES: Readonly<Record<WeightForm, MatrixTypes>> = {
  f32: { multiplied: 'panel_f32', lookedUp: 'f32' },
  bf16: { multiplied: 'panel_bf16', lookedUp: 'bf16' },
  q8: { multiplied: 'panel_q8', lookedUp: 'panel_q8' },
  q4: { multiplied: 'panel_q4', lookedUp: 'panel_q8' },
  rows: { multiplied: 'f32', lookedUp: 'f32' },
};

/** Type of every weight, by Meta's name. */
export function weightStates(config: LlamaConfig, form: WeightForm): Map<string, StateType> {
  const { multiplied, lookedUp } = MATRIX_TYPES[form];
  const states = new Map<string, StateType>();
  for (const [name, shape] of llamaWeightShapes(config)) {
    const isOnlyLookedUp = name === 'tok_embeddings.weight' && outputWeightName(config) !== name;
    const dtype = shape.length === 1 ? 'f32' : isOnlyLookedUp ? lookedUp : multiplied;
    states.set(name, { dtype, shape });
  }
  return states;
}

/** Bytes of all weights together. */
export function weightBytes(config: LlamaConfig, form: WeightForm): number {
  let total = 0;
  for (const { dtype, shape } of weightStates(config, form).values()) total += byteLength(dtype, shape);
  return total;
}

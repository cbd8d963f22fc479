/**
 * In which type each weight lies in memory for inference. Matrices are packed into panels once, norms stay f32; an embedding table that is
 * also the output projection is kept once, as a panel that `gather` reads too.
 */
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { outputWeightName } from '../model/llama3.ts';
import { byteLength, type DType, type Shape } from '../tensor/dtype.ts';
import type { KvType } from './kv-cache.ts';
import type { WeightType } from './weight-type.ts';

export interface StateType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Types of all weights, by Meta's name. */
export type WeightStates = ReadonlyMap<string, StateType>;

/** Forms in which every matrix has the same type. `rows` are those of a trainer: f32 as they lie, packed anew in each step. */
export type UniformForm = WeightType | 'rows';

/** `stored`: each matrix in the type that its file suggests (stored-weights.ts). */
export type WeightForm = UniformForm | 'stored';

/** What a matrix is used for; an embedding table that is the output projection too counts as that. */
export type MatrixUse = 'multiplied' | 'output' | 'lookedUp';

const MATRIX_TYPES: Readonly<Record<UniformForm, Readonly<Record<MatrixUse, DType>>>> = {
  f32: { multiplied: 'panel_f32', output: 'panel_f32', lookedUp: 'f32' },
  bf16: { multiplied: 'panel_bf16', output: 'panel_bf16', lookedUp: 'bf16' },
  q8: { multiplied: 'panel_q8', output: 'panel_q8', lookedUp: 'panel_q8' },
  // Logits suffer most from 4 bits (docs/decisions); llama.cpp's Q4_0 files keep the output wider too.
  q4: { multiplied: 'panel_q4', output: 'panel_q8', lookedUp: 'panel_q8' },
  rows: { multiplied: 'f32', output: 'f32', lookedUp: 'f32' },
};

/** Type of every weight in a form. */
export function weightStates(config: LlamaConfig, form: UniformForm): Map<string, StateType> {
  return weightStatesBy(config, (_, use) => MATRIX_TYPES[form][use]);
}

/** Type of every weight, where `typeOf` says that of a matrix. */
export function weightStatesBy(
  config: LlamaConfig,
  typeOf: (name: string, use: MatrixUse) => DType,
): Map<string, StateType> {
  const states = new Map<string, StateType>();
  for (const [name, shape] of llamaWeightShapes(config)) {
    const dtype = shape.length === 1 ? 'f32' : typeOf(name, useOf(name, config));
    states.set(name, { dtype, shape });
  }
  return states;
}

function useOf(name: string, config: LlamaConfig): MatrixUse {
  if (name === outputWeightName(config)) return 'output';
  return name === 'tok_embeddings.weight' ? 'lookedUp' : 'multiplied';
}

/** Bytes of all weights together. */
export function weightBytes(config: LlamaConfig, form: UniformForm): number {
  return bytesOf(weightStates(config, form));
}

/** Bytes of states together. */
export function bytesOf(states: WeightStates): number {
  let total = 0;
  for (const { dtype, shape } of states.values()) total += byteLength(dtype, shape);
  return total;
}

/** The type of keys and values that goes with a form of weights: as exact as they are. */
export function kvTypeFor(form: WeightForm): KvType {
  return form === 'bf16' ? 'bf16' : form === 'f32' || form === 'rows' ? 'f32' : 'f16';
}

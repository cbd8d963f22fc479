/**
 * The types in which a loaded model can keep its matrices.
 */
import type { Precision } from '../tensor/operators.ts';

/** q8 and q4 are integers of so many bits with a scale per 32 values. */
export const WEIGHT_TYPES = ['f32', 'bf16', 'q8', 'q4'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** Arithmetic that goes with weights of a type; quantised ones bring their own and leave the rest in f32. */
export function precisionOf(weightType: WeightType): Precision {
  return weightType === 'bf16' ? 'bf16' : 'f32';
}

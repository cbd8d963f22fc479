/**
 * A plan: a graph with a place in memory for every tensor. States lie in buffers of their own; inputs, outputs and everything in between
 * share one arena, where tensors that do not live at the same time may share bytes. Backends execute plans; they never see graphs.
 */
import type { DType, Shape } from '../tensor/dtype.ts';
import type { OpAttrs, OpName } from '../tensor/operators.ts';

/** Byte offsets in the arena are multiples of this (a cache line, and the widest vector). */
export const ALIGNMENT_BYTES = 64;

/** A tensor's place: `buffer` 0 is the arena, buffer i > 0 is the state `plan.states[i - 1]`. */
export interface Operand {
  readonly buffer: number;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface Instruction<K extends OpName = OpName> {
  readonly op: K;
  readonly attrs: OpAttrs[K];
  readonly inputs: readonly (Operand | null)[];
  readonly outputs: readonly Operand[];
  /** Scratch memory that the native kernel asked for; null when it needs none. */
  readonly workspace: Operand | null;
}

export interface Plan {
  /** Names of the states, in buffer order. */
  readonly states: readonly string[];
  readonly inputs: ReadonlyMap<string, Operand>;
  readonly outputs: ReadonlyMap<string, Operand>;
  readonly instructions: readonly Instruction[];
  readonly arenaBytes: number;
}

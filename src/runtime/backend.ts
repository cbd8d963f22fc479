/**
 * What a backend offers: memory for states, and plans made executable. Everything above the runtime sees only this.
 */
import type { DType, Shape } from '../tensor/dtype.ts';
import type { Node } from '../tensor/graph.ts';
import type { Plan } from './plan.ts';

export type Values = Float32Array | Float64Array | Int32Array;

/**
 * Memory of one state, in the backend's own layout. Values cross this border row by row as the type says: Int32Array for i32, floats
 * otherwise (bf16, f16 and panel types are rounded and packed on the way in, and widened on the way out).
 */
export interface Storage {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Bytes the backend holds for it. */
  readonly sizeBytes: number;
  /** Replaces all values; `values.length` must be the number of values. */
  write(values: ArrayLike<number>): void;
  /** A copy of all values. */
  read(): Values;
  /** The memory itself where it is plain f32 or i32 rows; null for other layouts. Checkpoints stream from it. */
  readonly view: Values | null;
}

export interface Executable {
  /** Runs the plan; the event loop stays free. Inputs by name; the named outputs come back as copies. */
  run(inputs: Readonly<Record<string, ArrayLike<number>>>): Promise<Record<string, Values>>;
  /** Gives back what the executable holds beyond the states. */
  dispose(): void;
}

export interface Backend {
  readonly name: 'native' | 'reference';
  /** Bytes of scratch memory this backend's kernel wants beside its inputs and outputs; the planner places them in the arena. */
  workspaceBytes(node: Node): number;
  /** Zeroed memory for a state; throws CapacityError naming the size when there is none. */
  createStorage(dtype: DType, shape: Shape): Storage;
  /** Makes a plan executable on these states, by name. */
  load(plan: Plan, states: ReadonlyMap<string, Storage>): Executable;
}

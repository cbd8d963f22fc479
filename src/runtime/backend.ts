/**
 * What a backend offers: memory for states, and plans made executable. Everything above the runtime sees only this.
 */
import type { DType, QuantisedDType, Shape } from '../tensor/dtype.ts';
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
  /** Replaces the values of whole rows from `firstRow` on; for panels, `firstRow` is a multiple of PANEL_ROWS and so are all parts but the last. */
  writeRows(firstRow: number, values: Float32Array): void;
  /** Replaces whole rows by blocks as GGUF files store them, which the type holds exactly; null where a backend or type cannot. */
  readonly writeBlocks: ((format: BlockFormat, firstRow: number, numRows: number, blocks: Uint8Array) => void) | null;
  /** A copy of all values. */
  read(): Values;
  /** The memory itself where it is plain f32 or i32 rows; null for other layouts. Checkpoints stream from it. */
  readonly view: Values | null;
  /** All memory in the backend's layout, which depends on type and shape only; null where there is none to share. */
  readonly bytes: Uint8Array | null;
}

/** Memory for outputs, by name. */
export type OutputMemory = Readonly<Record<string, Values>>;

/** A copy of values, in the memory given if it can hold them. */
export function copyOf(values: Values, memory?: Values): Values {
  if (memory?.constructor !== values.constructor || memory.length < values.length) return values.slice();
  memory.set(values);
  return memory.subarray(0, values.length);
}

/** Block types of GGUF files that a panel type holds exactly. */
export type BlockFormat = 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q8_0' | 'Q4_K';

/** The panel type of each. */
export const PANEL_OF_BLOCKS: Readonly<Record<BlockFormat, QuantisedDType>> = {
  Q4_0: 'panel_q4',
  Q4_1: 'panel_q4_min',
  Q5_0: 'panel_q8',
  Q8_0: 'panel_q8',
  Q4_K: 'panel_q4_k',
};

export interface Executable {
  /**
   * Runs the plan; the event loop stays free. Inputs by name; the named outputs come back as copies: in the memory that `into` has for them, if
   * it is of their type and large enough, or else in fresh memory, which costs several times the copy.
   */
  run(inputs: Readonly<Record<string, ArrayLike<number>>>, into?: OutputMemory): Promise<Record<string, Values>>;
  /** Gives back what the executable holds beyond the states. */
  dispose(): void;
}

export interface Backend {
  readonly name: 'native' | 'reference';
  /** The instruction set it computes with; null if it leaves that to the JavaScript engine. */
  readonly isa: string | null;
  /** Bytes of scratch memory this backend's kernel wants beside its inputs and outputs; the planner places them in the arena. */
  workspaceBytes(node: Node): number;
  /** Zeroed memory for a state; throws CapacityError naming the size when there is none. */
  createStorage(dtype: DType, shape: Shape): Storage;
  /**
   * A state whose memory is a part of an open file, in the layout of `Storage.bytes`, read when it is first used; null where files cannot be
   * mapped. The file may be closed then, and must not be cut.
   */
  mapStorage(dtype: DType, shape: Shape, file: number, byteOffset: number): Storage | null;
  /** Makes a plan executable on these states, by name. */
  load(plan: Plan, states: ReadonlyMap<string, Storage>): Executable;
}

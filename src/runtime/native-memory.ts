/**
 * Memory that the native kernels share with JavaScript: where a tensor lies in it, and values on their way in and out. Plain f32 and i32 are read
 * and written where they are; every other type is converted by the kernels. Knows nothing of plans.
 */
import { type DType, isPanel, numValues, type Shape } from '../tensor/dtype.ts';
import { CapacityError } from '../util/errors.ts';
import { type BlockFormat, copyOf, type Values } from './backend.ts';
import type { Addon, Handle } from './native-addon.ts';
import { DTYPES } from './native-lowering.ts';

/** In the order of SourceBlocks in kernels/quantised-pack.h. */
const BLOCK_FORMATS: readonly BlockFormat[] = ['Q4_0', 'Q4_1', 'Q5_0', 'Q8_0', 'Q4_K'];

/** Part of a buffer that holds one tensor, in the kernels' layout. */
export interface Place {
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** The memory itself where it holds plain f32 or i32; null for other types. */
export function viewOf({ buffer, byteOffset, dtype, shape }: Place): Float32Array | Int32Array | null {
  if (dtype === 'f32') return new Float32Array(buffer, byteOffset, numValues(shape));
  if (dtype === 'i32') return new Int32Array(buffer, byteOffset, numValues(shape));
  return null;
}

/** What the addon allocates, maps and converts, on the threads of one team. */
export class NativeMemory {
  readonly #addon: Addon;
  readonly #team: Handle;

  constructor(addon: Addon, team: Handle) {
    this.#addon = addon;
    this.#team = team;
  }

  /** Zeroed memory; throws CapacityError when there is none. */
  allocate(bytes: number): ArrayBuffer {
    const buffer = this.#addon.allocate(bytes);
    if (buffer) return buffer;
    throw new CapacityError(
      `no memory for ${(bytes / 2 ** 20).toFixed(0)} MiB; use a smaller model, context or batch, or a smaller type`,
    );
  }

  /** Gives memory back at once, before the garbage collector would. */
  release(buffer: ArrayBuffer): void {
    this.#addon.release(buffer);
  }

  /** Part of an open file as memory; null where that cannot be. */
  map(file: number, byteOffset: number, bytes: number): ArrayBuffer | null {
    return this.#addon.map(file, byteOffset, bytes);
  }

  /** Replaces the values at a place, converted to its type. */
  write(place: Place, values: ArrayLike<number>): void {
    const view = viewOf(place);
    if (view) return view.set(values);
    const floats = values instanceof Float32Array ? values : Float32Array.from(values);
    this.#addon.pack(this.#team, floats, ...converted(place));
  }

  /** Replaces whole rows of quantised panels by blocks of a file. */
  writeBlocks(place: Place, format: BlockFormat, firstRow: number, numRows: number, blocks: Uint8Array): void {
    const { buffer, dtype, shape } = place;
    const number = BLOCK_FORMATS.indexOf(format);
    const target = [buffer, DTYPES.indexOf(dtype), shape[0]!, shape[1]!] as const;
    this.#addon.repack(this.#team, number, blocks, firstRow, numRows, ...target);
  }

  /** A copy of the values at a place, in the memory given if it can hold them. */
  read(place: Place, memory?: Values): Values {
    const view = viewOf(place);
    if (view) return copyOf(view, memory);
    const values = new Float32Array(numValues(place.shape));
    this.#addon.unpack(this.#team, values, ...converted(place));
    return values;
  }
}

/** A place as the addon's conversions take it: plain types are one long row. */
function converted({ buffer, byteOffset, dtype, shape }: Place) {
  const rows = isPanel(dtype) || dtype === 'row_q8' ? shape[0]! : 1;
  return [buffer, byteOffset, DTYPES.indexOf(dtype), rows, rows === 0 ? 0 : numValues(shape) / rows] as const;
}

/**
 * A state of the native backend in a buffer of its own, written and read as a whole, by rows, or by blocks of a file.
 */
import { byteLength, type DType, isPanel, isQuantised, numValues, PANEL_ROWS, type Shape } from '../tensor/dtype.ts';
import { invariant, ShapeError } from '../util/errors.ts';
import type { Storage, Values } from './backend.ts';
import { type NativeMemory, type Place, viewOf } from './native-memory.ts';

/** The state; `buffer` is all its own. */
export class NativeStorage implements Storage {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly sizeBytes: number;
  readonly view: Values | null;
  readonly bytes: Uint8Array;
  readonly writeBlocks: Storage['writeBlocks'];
  readonly place: Place;
  readonly #memory: NativeMemory;

  constructor(memory: NativeMemory, dtype: DType, shape: Shape, buffer: ArrayBuffer) {
    const place = { buffer, byteOffset: 0, dtype, shape };
    this.#memory = memory;
    this.bytes = new Uint8Array(buffer);
    this.writeBlocks = isQuantised(dtype) ? (...blocks) => memory.writeBlocks(place, ...blocks) : null;
    this.place = place;
    this.dtype = dtype;
    this.shape = shape;
    this.sizeBytes = buffer.byteLength;
    this.view = viewOf(place);
  }

  write(values: ArrayLike<number>): void {
    checkNumValues('write', values, this.shape);
    this.#memory.write(this.place, values);
  }

  writeRows(firstRow: number, values: Float32Array): void {
    this.#memory.write(rowsOf(this.place, firstRow, values.length), values);
  }

  read(): Values {
    return this.#memory.read(this.place);
  }
}

/** Throws ShapeError unless there are as many values as a tensor of this shape has. */
export function checkNumValues(what: string, values: ArrayLike<number>, shape: Shape): void {
  if (values.length !== numValues(shape))
    throw new ShapeError(
      `${what}: expected ${numValues(shape)} values for [${shape.join(', ')}], got ${values.length}`,
    );
}

/** The place of so many values from a row on; in panels a part begins with a panel and ends with one or with the matrix. */
function rowsOf({ buffer, dtype, shape }: Place, firstRow: number, count: number): Place {
  const [numRows, ...rowShape] = shape as [number, ...number[]];
  const rows = count / numValues(rowShape);
  invariant(Number.isInteger(rows) && firstRow + rows <= numRows, `internal: rows ${firstRow} + ${rows} of ${numRows}`);
  const isWhole =
    !isPanel(dtype) || (firstRow % PANEL_ROWS === 0 && (rows % PANEL_ROWS === 0 || firstRow + rows === numRows));
  invariant(isWhole, `internal: rows ${firstRow} + ${rows} are no whole panels`);
  const byteOffset = byteLength(dtype, [firstRow, ...rowShape]);
  return { buffer, byteOffset, dtype, shape: [rows, ...rowShape] };
}

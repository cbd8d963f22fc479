/**
 * One tensor of a file into a state: blocks that panels hold exactly are taken over as they are, everything else passes through f32 a few
 * rows at a time, so that nothing of a tensor's size is held beside the state.
 */
import { decodeToF32 } from '../formats/decode-f32.ts';
import { IQ4_LEVELS } from '../formats/dequantise-small-blocks.ts';
import { fitQ40 } from '../formats/fit-four-bits.ts';
import { STORED_DTYPES, type StoredDType } from '../formats/stored-dtype.ts';
import { readTensorF32, rowLayout, tensorInfo, type TensorSource } from '../formats/tensor-source.ts';
import { type BlockFormat, PANEL_OF_BLOCKS, type Storage } from '../runtime/backend.ts';
import { PANEL_ROWS } from '../tensor/dtype.ts';

/** Values packed between two turns of the event loop. */
const CHUNK_VALUES = 2 ** 19;

/** Fills `storage` with the tensor `name`, converted to the state's type. */
export async function packTensor(source: TensorSource, name: string, storage: Storage): Promise<void> {
  if (storage.shape.length < 2) return storage.write(await readTensorF32(source, name));
  const info = tensorInfo(source, name);
  const { rowBytes } = rowLayout(info);
  const columns = storage.shape[1]!;
  const format = blocksFor(info.dtype, storage);
  const values = new Float32Array(format === null ? rowsAtOnce(columns) * columns : 0);
  const bytes = new Uint8Array(rowsAtOnce(columns) * rowBytes);
  for (const [firstRow, numRows] of rowChunks(storage.shape)) {
    const part = bytes.subarray(0, numRows * rowBytes);
    await source.readRows(name, firstRow, part);
    if (format !== null) {
      storage.writeBlocks!(format, firstRow, numRows, info.dtype === 'IQ4_NL' ? asQ80(part) : part);
      continue;
    }
    const decoded = values.subarray(0, numRows * columns);
    decodeToF32(info.dtype, part, decoded);
    writeValues(storage, firstRow, numRows, decoded);
  }
}

/** Four bits are fitted with less error than those of a Q4_0 file. */
function writeValues(storage: Storage, firstRow: number, numRows: number, values: Float32Array): void {
  const { blockSize, blockBytes } = STORED_DTYPES.Q4_0;
  if (storage.dtype !== 'panel_q4' || storage.writeBlocks === null || storage.shape[1]! % blockSize !== 0) {
    return storage.writeRows(firstRow, values);
  }
  const blocks = new Uint8Array((values.length / blockSize) * blockBytes);
  fitQ40(values, blocks);
  storage.writeBlocks('Q4_0', firstRow, numRows, blocks);
}

/** First row and number of rows of parts that are packed at a time: whole panels, except for the last. */
export function* rowChunks([numRows, columns]: readonly number[]): Generator<readonly [number, number]> {
  const step = rowsAtOnce(columns!);
  for (let row = 0; row < numRows!; row += step) yield [row, Math.min(step, numRows! - row)];
}

function rowsAtOnce(columns: number): number {
  return PANEL_ROWS * Math.max(1, Math.floor(CHUNK_VALUES / (PANEL_ROWS * columns)));
}

/** The block format in which the state takes stored blocks exactly; null if it does not. */
function blocksFor(stored: StoredDType, storage: Storage): BlockFormat | null {
  if (storage.writeBlocks === null) return null;
  const format = stored === 'IQ4_NL' ? 'Q8_0' : stored;
  return Object.hasOwn(PANEL_OF_BLOCKS, format) && PANEL_OF_BLOCKS[format as BlockFormat] === storage.dtype
    ? (format as BlockFormat)
    : null;
}

/** IQ4_NL blocks (a scale and 16 bytes of indices into a table of signed bytes) as Q8_0 blocks of the same values. */
function asQ80(blocks: Uint8Array): Uint8Array {
  const { blockBytes } = STORED_DTYPES.IQ4_NL;
  const wide = STORED_DTYPES.Q8_0.blockBytes;
  const result = new Uint8Array((blocks.length / blockBytes) * wide);
  for (let from = 0, to = 0; from < blocks.length; from += blockBytes, to += wide) {
    result[to] = blocks[from]!;
    result[to + 1] = blocks[from + 1]!;
    for (let k = 0; k < 16; k++) {
      const pair = blocks[from + 2 + k]!;
      result[to + 2 + k] = IQ4_LEVELS[pair & 15]!;
      result[to + 18 + k] = IQ4_LEVELS[pair >> 4]!;
    }
  }
  return result;
}

/**
 * Batches from token files: rows in random order for training, side by side for validation. Pure functions of seed and step.
 */
import type { BatchShape } from '../model/training-step.ts';
import { ConfigError } from '../util/errors.ts';
import {
  batchShape,
  maxSegmentsPerRow,
  packBatch,
  type PackedBatch,
  rowSequences,
  type Sequence,
} from './packed-batch.ts';
import { rowOrder } from './row-order.ts';
import type { TokenFile } from './token-file.ts';
import type { SplitInfo } from './token-set.ts';

export interface RowLayout {
  /** Inputs of a row; it reads one token more. */
  readonly seqLen: number;
  /** Rows computed together. */
  readonly rowsPerMicroStep: number;
  readonly bosId: number;
}

export interface TrainingBatches {
  readonly shape: BatchShape;
  /** Rows before the order repeats, each epoch in another order. */
  readonly rowsPerEpoch: number;
  /** Rows drawn before optimizer step `step`: all there is to remember of the place in the data. */
  cursor(step: number): number;
  /** The micro-batches of optimizer step `step`. */
  draw(step: number): PackedBatch[];
}

/** Random rows of a token file, `rowsPerStep` for each optimizer step. */
export function trainingBatches(
  file: TokenFile,
  info: SplitInfo,
  layout: RowLayout & { readonly rowsPerStep: number; readonly seed: number },
): TrainingBatches {
  const { seqLen, rowsPerStep, rowsPerMicroStep } = layout;
  if (rowsPerStep % rowsPerMicroStep !== 0) {
    throw new ConfigError(
      `train.rowsPerStep (${rowsPerStep}) must be a multiple of train.rowsPerMicroStep (${rowsPerMicroStep})`,
    );
  }
  const order = rowOrder(file.length, seqLen, layout.seed);
  const shape = shapeFor(info, layout);
  return {
    shape,
    rowsPerEpoch: order.rowsPerEpoch,
    cursor: (step) => step * rowsPerStep,
    draw: (step) =>
      Array.from({ length: rowsPerStep / rowsPerMicroStep }, (_, microStep) => {
        const first = step * rowsPerStep + microStep * rowsPerMicroStep;
        const rows = Array.from({ length: rowsPerMicroStep }, (__, i) =>
          readRow(file, order.offset(first + i), layout),
        );
        return packBatch(rows, seqLen, shape);
      }),
  };
}

export interface ValidationBatches {
  readonly shape: BatchShape;
  /** Rows one after the other, so that every token but the first is a target once; at most `maxRows` rows (null: all). */
  batches(maxRows: number | null): Iterable<PackedBatch>;
}

/** Side-by-side rows of a token file. */
export function validationBatches(file: TokenFile, info: SplitInfo, layout: RowLayout): ValidationBatches {
  const { seqLen, rowsPerMicroStep } = layout;
  const shape = shapeFor(info, layout);
  return {
    shape,
    *batches(maxRows) {
      const numRows = Math.min(Math.ceil((file.length - 1) / seqLen), maxRows ?? Number.POSITIVE_INFINITY);
      for (let first = 0; first < numRows; first += rowsPerMicroStep) {
        const length = Math.min(rowsPerMicroStep, numRows - first);
        const rows = Array.from({ length }, (_, i) => readRow(file, (first + i) * seqLen, layout));
        yield packBatch(rows, seqLen, shape);
      }
    },
  };
}

/** The shape of every batch from this part of a corpus. */
function shapeFor(info: SplitInfo, { seqLen, rowsPerMicroStep }: RowLayout): BatchShape {
  return batchShape(rowsPerMicroStep, seqLen, maxSegmentsPerRow(seqLen, info.numDocuments, info.shortestDocument));
}

function readRow(file: TokenFile, offset: number, { seqLen, bosId }: RowLayout): Sequence[] {
  const row = new Int32Array(Math.min(seqLen + 1, file.length - offset));
  file.read(offset, row.length, row);
  return rowSequences(row, bosId);
}

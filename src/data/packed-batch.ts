/**
 * Rows of tokens as the arrays a training step takes: inputs, shifted targets, positions, and segments that keep documents from seeing
 * each other. Knows nothing about where rows come from.
 *
 * T tokens of all rows, N segments, M block table entries.
 */
import { TRAINING_BLOCK_SIZE, type BatchShape } from '../model/training-step.ts';
import { invariant } from '../util/errors.ts';

/** A target that does not count; the loss operators ignore negative ones. */
export const IGNORED = -1;

/** One document's stretch of a row: `ids` predict `targets`, which may be ignored one by one. */
export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** As long as `ids`. */
  readonly targets: ArrayLike<number>;
}

export interface PackedBatch {
  readonly shape: BatchShape;
  /** Token ids [T]. */
  readonly tokens: Int32Array;
  /** Next token in the document [T], negative where none counts. */
  readonly targets: Int32Array;
  /** Place in the document's stretch [T]. */
  readonly positions: Int32Array;
  /** [N, 4] and [M], as OpAttrs.attention says. */
  readonly segments: Int32Array;
  readonly blocks: Int32Array;
  /** Targets that count. */
  readonly numValid: number;
}

/** The shape that holds any `numRows` rows of `seqLen` tokens with at most `segmentsPerRow` documents each. */
export function batchShape(numRows: number, seqLen: number, segmentsPerRow: number): BatchShape {
  const numTokens = numRows * seqLen;
  const numSegments = numRows * Math.min(segmentsPerRow, seqLen);
  // Each segment rounds its blocks up.
  return { numTokens, numSegments, numBlocks: Math.floor(numTokens / TRAINING_BLOCK_SIZE) + numSegments };
}

/** Most documents that `seqLen` neighbouring tokens can touch, if there are `numDocuments` and none is shorter than `shortest`. */
export function maxSegmentsPerRow(seqLen: number, numDocuments: number, shortest: number): number {
  return Math.max(1, Math.min(numDocuments, 1 + Math.ceil((seqLen - 1) / Math.max(1, shortest))));
}

/** Packs rows, each a list of sequences, into fixed shapes; what a row leaves free is padding in no segment. */
export function packBatch(rows: readonly (readonly Sequence[])[], seqLen: number, shape: BatchShape): PackedBatch {
  invariant(rows.length * seqLen <= shape.numTokens, `internal: ${rows.length} rows for ${shape.numTokens} tokens`);
  const { numTokens, numSegments, numBlocks } = shape;
  const tokens = new Int32Array(numTokens);
  const targets = new Int32Array(numTokens).fill(IGNORED);
  const positions = new Int32Array(numTokens);
  const segments = new Int32Array(numSegments * 4);
  const blocks = new Int32Array(numBlocks);
  let [usedSegments, usedBlocks, numValid] = [0, 0, 0];
  for (const [row, sequences] of rows.entries()) {
    let at = row * seqLen;
    for (const { ids, targets: next } of sequences) {
      const { length } = ids;
      invariant(at + length <= (row + 1) * seqLen && usedSegments < numSegments, 'internal: a row overflows');
      segments.set([at, length, length, usedBlocks], 4 * usedSegments++);
      for (let slot = 0; slot < length; slot += TRAINING_BLOCK_SIZE) blocks[usedBlocks++] = at + slot;
      for (let i = 0; i < length; i++, at++) {
        tokens[at] = ids[i]!;
        targets[at] = next[i]!;
        positions[at] = i;
        if (next[i]! >= 0) numValid++;
      }
    }
  }
  return { shape, tokens, targets, positions, segments, blocks, numValid };
}

/**
 * The sequences of `numInputs` neighbouring tokens and the one after them. A row that starts inside a document sees the
 * beginning-of-text token in place of its first one, so that every stretch looks to the model like the start of a text.
 */
export function rowSequences(tokens: Int32Array, bosId: number): Sequence[] {
  const starts = [0];
  for (let i = 1; i < tokens.length - 1; i++) if (tokens[i] === bosId) starts.push(i);
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? tokens.length - 1;
    const ids = tokens.slice(start, end);
    ids[0] = bosId;
    const targets = tokens.slice(start + 1, end + 1);
    if (targets.at(-1) === bosId) targets[targets.length - 1] = IGNORED; // the next document is not predicted from this one
    return { ids, targets };
  });
}

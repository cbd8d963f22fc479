/**
 * Scratch memory of the kernels that multiply matrices (kernels/matrix-product.cpp, token-log-probs.cpp), and how many rows of logits they
 * hold at a time. T tokens, D model dim, V vocabulary.
 */
import { byteLength, isPanel, PANEL_ROWS } from '../tensor/dtype.ts';
import type { OpAttrs, Precision } from '../tensor/operators.ts';
import type { TensorType } from '../tensor/shape-rules.ts';

type Types = readonly (TensorType | null)[];

/**
 * Columns, rows that are not consecutive in memory, and depth (words of 4 bytes) that are multiplied at a time, as chunk_columns, chunk_rows
 * and window_words in matrix-product.cpp.
 */
const CHUNK_COLUMNS = 1008;
const CHUNK_ROWS = 2048;
const WINDOW_WORDS = 1024;

/** Packed at a time at most where few rows are multiplied along the whole depth; no fewer columns than the second. */
const FEW_ROWS_CHUNK_BYTES = 4 * 2 ** 20;
const FEW_ROWS_COLUMNS = 48;

/** A weight that many products share is packed whole up to this size. */
const PACKED_WHOLE_BYTES = 64 * 2 ** 20;
/** Logits that exist at a time, within limits on the rows: too few rows make each pass over the weight's gradient dear. */
const LOGIT_BYTES = 16 * 2 ** 20;
const LEAST_LOGIT_ROWS = 128;
const MOST_LOGIT_ROWS = 512;

/** Scratch memory of a matmul with a weight that is not quantised. */
export function matmulBytes([a, b, addend]: Types, [out]: Types, attrs: OpAttrs['matmul']): number {
  const { transposeA, transposeB, precision } = attrs;
  const [rows, depth] = transposeA ? a!.shape.toReversed() : a!.shape;
  const columns = b!.shape[transposeB ? 0 : 1]!;
  const words = precision === 'bf16' ? Math.ceil(depth! / 2) : depth!;
  const deep = rows! > PANEL_ROWS && words > WINDOW_WORDS;
  const sums = deep && (addend || out!.dtype !== 'f32') ? rows! * CHUNK_COLUMNS * 4 : 0;
  const strips = transposeA ? stripBytes(Math.min(rows!, CHUNK_ROWS), deep ? WINDOW_WORDS : words) : 0;
  return (isPanel(b!.dtype) ? 0 : packedBytes(rows!, columns, words)) + strips + sums;
}

/** Room to pack the columns of one chunk over one window of the depth. */
function packedBytes(rows: number, columns: number, words: number): number {
  const room = (most: number, depth: number): number => stripBytes(Math.min(most, columns), depth);
  if (rows > PANEL_ROWS) return room(CHUNK_COLUMNS, Math.min(words, WINDOW_WORDS));
  return Math.min(room(CHUNK_COLUMNS, words), Math.max(FEW_ROWS_CHUNK_BYTES, room(FEW_ROWS_COLUMNS, words)));
}

/** Room to pack lines of this many words: the kernel makes their number odd. */
function stripBytes(lines: number, words: number): number {
  return byteLength('panel_f32', [lines, words + 1]);
}

/** Rows whose logits exist at a time: even, as bf16 products go in pairs of tokens. */
export function logitRows(x: TensorType, weight: TensorType): number {
  const [T, V] = [x.shape[0]!, weight.shape[0]!];
  const most = Math.max(LEAST_LOGIT_ROWS, Math.min(MOST_LOGIT_ROWS, LOGIT_BYTES / (4 * V)));
  return 2 * Math.floor(Math.min(most, T + 1) / 2);
}

/** Scratch memory of tokenLogProbs. */
export function tokenLogProbsBytes([x, weight]: Types, precision: Precision): number {
  const [V, D] = weight!.shape as [number, number];
  return sumOfPieces([...lossPieces(x!, weight!), weightBytes(V, D, precision)]);
}

/** Scratch memory of tokenLogProbsGrad: also the gradient of the chosen rows, both operands of their product packed, and the weight packed both ways. */
export function tokenLogProbsGradBytes([, x, weight]: Types, precision: Precision): number {
  const [V, D] = weight!.shape as [number, number];
  const rows = logitRows(x!, weight!);
  const packed = Math.max(weightBytes(V, D, precision), weightBytes(D, V, precision));
  return sumOfPieces([
    ...lossPieces(x!, weight!),
    rows * D * 4,
    gradOperandBytes(x!, weight!, precision),
    packed,
    packed,
  ]);
}

/** Room to pack both operands of the product that gives the weight's gradient. */
export function gradOperandBytes(x: TensorType, weight: TensorType, precision: Precision): number {
  const [V, D] = weight.shape as [number, number];
  const rows = logitRows(x, weight);
  const bytes = (lines: number): number => stripBytes(lines, precision === 'bf16' ? rows / 2 : rows);
  return bytes(Math.min(D, CHUNK_COLUMNS)) + bytes(Math.min(V, CHUNK_ROWS));
}

/** What both cut from their workspace first: the number of chosen rows, which they are, their x, their logits. */
function lossPieces(x: TensorType, weight: TensorType): readonly number[] {
  const [T, D] = x.shape as [number, number];
  const rows = logitRows(x, weight);
  return [4, T * 4, rows * D * 4, rows * weight.shape[0]! * 4];
}

function weightBytes(lines: number, depth: number, precision: Precision): number {
  const whole = byteLength(`panel_${precision}`, [lines, depth]);
  if (whole <= PACKED_WHOLE_BYTES) return whole;
  return byteLength(`panel_${precision}`, [CHUNK_COLUMNS, Math.min(depth, 2 * WINDOW_WORDS)]);
}

function sumOfPieces(piecesBytes: readonly number[]): number {
  return piecesBytes.reduce((sum, bytes) => sum + Math.ceil(bytes / 64) * 64, 0);
}

/**
 * A checkpoint with an adapter merged into its weights, computed row by row as they are read: nothing holds the merged model.
 * Sums are made in float64 and rounded once, to the type of the result.
 */
import { ConfigError, FormatError } from '../util/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { decodeToF32 } from './decode-f32.ts';
import { encodeFromF32 } from './encode-f32.ts';
import type { AdapterUpdate, PeftAdapter } from './peft.ts';
import { rotarySourceRow } from './rotary-rows.ts';
import { isPlainDType, STORED_DTYPES, type StoredDType } from './stored-dtype.ts';
import { quoted, readTensorF32, rowLayout, tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';

export interface MergeOptions {
  /** Give merged weights in the type of the base (float32 where that is quantised), or in float32. */
  readonly keepsType: boolean;
}

/** The merged checkpoint, valid while both stay open; throws ConfigError or FormatError if they do not fit together. */
export function mergeAdapter(checkpoint: Checkpoint, adapter: PeftAdapter, options: MergeOptions): Checkpoint {
  const { weights: base, config } = checkpoint;
  const merged = new Map<string, TensorInfo>();
  for (const [name, update] of adapter.updates) {
    if (config.tiedEmbeddings && (name === 'tok_embeddings.weight' || name === 'output.weight')) {
      throw new ConfigError(
        `${adapter.path}: changes ${name}, but ${checkpoint.path} uses one matrix for embedding and output; ` +
          'merge it with PEFT into a model whose matrices are untied',
      );
    }
    const info = base.tensors.get(name);
    if (info === undefined) throw new FormatError(`${checkpoint.path}: has no ${name}, which ${adapter.path} changes`);
    checkShape(adapter, name, update, info);
    const dtype = options.keepsType && isPlainDType(info.dtype) ? info.dtype : 'F32';
    const byteLength = info.shape.reduce((count, size) => count * size, 1) * STORED_DTYPES[dtype].blockBytes;
    merged.set(name, { dtype, shape: info.shape, byteLength, location: null });
  }
  const tensors = new Map([...base.tensors].map(([name, info]) => [name, merged.get(name) ?? info]));
  const factorsOf = lastFactors(adapter);
  const weights: TensorSource = {
    path: base.path,
    tensors,
    async readRows(name, firstRow, target) {
      const update = adapter.updates.get(name);
      if (update === undefined) return base.readRows(name, firstRow, target);
      const { numRows, rowBytes } = rowLayout(tensorInfo(this, name));
      const rows = { first: firstRow, count: numRows === 0 ? 0 : target.length / rowBytes };
      const isRotary = name.endsWith('.wq.weight') || name.endsWith('.wk.weight');
      const headDim = isRotary ? config.headDim : null;
      const factors = await factorsOf(name, update);
      const values =
        factors.kind === 'replaced'
          ? replacedRows(factors.values, tensorInfo(base, name), rows, headDim)
          : addedRows(await baseRows(base, name, rows), factors, rows, headDim);
      encodeFromF32(tensorInfo(this, name).dtype, values, target);
    },
    close: () => base.close(),
  };
  return { ...checkpoint, weights };
}

interface Rows {
  readonly first: number;
  readonly count: number;
}

function checkShape(adapter: PeftAdapter, name: string, update: AdapterUpdate, { shape }: TensorInfo): void {
  const of = (tensor: string) => tensorInfo(adapter.tensors, tensor).shape;
  const found =
    update.kind === 'replaced'
      ? of(update.by)
      : update.isTransposed
        ? [of(update.a)[1]!, of(update.b)[0]!]
        : [of(update.b)[0]!, of(update.a)[1]!];
  const isMagnitudeRight =
    update.kind === 'replaced' || update.magnitude === null || String(of(update.magnitude)) === String([shape[0]]);
  if (String(found) === String(shape) && isMagnitudeRight) return;
  throw new FormatError(
    `${adapter.path}: changes ${quoted(name)} of shape [${found}], the model has [${shape}]; it belongs to another model`,
  );
}

type Factors =
  | { readonly kind: 'replaced'; readonly values: Float32Array }
  | {
      readonly kind: 'low-rank';
      /** [out, rank] */
      readonly left: Float32Array;
      /** [rank, in] */
      readonly right: Float32Array;
      readonly rank: number;
      readonly scale: number;
      readonly magnitude: Float32Array | null;
    };

/** Reads the factors of a weight; those of the last one are kept, because rows are asked for in pieces. */
function lastFactors(adapter: PeftAdapter): (name: string, update: AdapterUpdate) => Promise<Factors> {
  let last: { readonly name: string; readonly factors: Promise<Factors> } | null = null;
  return (name, update) => {
    if (last?.name !== name) last = { name, factors: readFactors(adapter.tensors, update) };
    return last.factors;
  };
}

async function readFactors(source: TensorSource, update: AdapterUpdate): Promise<Factors> {
  if (update.kind === 'replaced') return { kind: 'replaced', values: await readTensorF32(source, update.by) };
  const { a, b, scale, isTransposed, magnitude } = update;
  const rank = tensorInfo(source, a).shape[0]!;
  const [down, up] = [await readTensorF32(source, a), await readTensorF32(source, b)];
  return {
    kind: 'low-rank',
    left: isTransposed ? transposed(down, rank) : up,
    right: isTransposed ? transposed(up, up.length / rank) : down,
    rank,
    scale,
    magnitude: magnitude === null ? null : await readTensorF32(source, magnitude),
  };
}

function transposed(values: Float32Array, numRows: number): Float32Array {
  const numColumns = values.length / numRows;
  return values.map((_, i) => values[(i % numRows) * numColumns + Math.floor(i / numRows)]!);
}

async function baseRows(base: TensorSource, name: string, rows: Rows): Promise<Float32Array> {
  const info = tensorInfo(base, name);
  const { rowBytes } = rowLayout(info);
  const bytes = new Uint8Array(rows.count * rowBytes);
  await base.readRows(name, rows.first, bytes);
  const { blockBytes, blockSize } = STORED_DTYPES[info.dtype as StoredDType];
  const values = new Float32Array((bytes.length / blockBytes) * blockSize);
  decodeToF32(info.dtype, bytes, values);
  return values;
}

/** Row of the adapter that belongs to a row of ours, which is in Meta's rotary order. */
function adapterRow(row: number, headDim: number | null): number {
  return headDim === null ? row : rotarySourceRow(row, headDim, 'interleaved');
}

function replacedRows(values: Float32Array, info: TensorInfo, rows: Rows, headDim: number | null): Float32Array {
  const rowValues = values.length / rowLayout(info).numRows;
  const result = new Float32Array(rows.count * rowValues);
  for (let i = 0; i < rows.count; i++) {
    const from = adapterRow(rows.first + i, headDim) * rowValues;
    result.set(values.subarray(from, from + rowValues), i * rowValues);
  }
  return result;
}

function addedRows(
  values: Float32Array,
  { left, right, rank, scale, magnitude }: Extract<Factors, { kind: 'low-rank' }>,
  rows: Rows,
  headDim: number | null,
): Float32Array {
  const rowValues = right.length / rank;
  const sums = new Float64Array(rowValues);
  for (let i = 0; i < rows.count; i++) {
    const row = adapterRow(rows.first + i, headDim);
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = left[row * rank + k]!;
      for (let j = 0, at = k * rowValues; j < rowValues; j++, at++) sums[j] = sums[j]! + factor * right[at]!;
    }
    let squares = 0;
    for (let j = 0; j < rowValues; j++) {
      const sum = values[i * rowValues + j]! + scale * sums[j]!;
      sums[j] = sum;
      squares += sum * sum;
    }
    const stretch = magnitude === null ? 1 : magnitude[row]! / Math.sqrt(squares);
    for (let j = 0; j < rowValues; j++) values[i * rowValues + j] = sums[j]! * stretch;
  }
  return values;
}

/**
 * Model-parallel shards seen as one source: each tensor is the concatenation of its parts by rows or by columns.
 * Knows nothing about which tensor is split how; works on stored bytes.
 */
import { FormatError } from '../util/errors.ts';
import { quoted, rowLayout, rowOffset, tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';

/** 'rows' and 'columns' concatenate the parts along that dimension; 'copies' takes the first part. */
export type JoinKind = 'rows' | 'columns' | 'copies';

const SCRATCH_BYTES = 2 ** 22;

/** One source over all `shards`; closing it closes them. Throws a FormatError if parts do not fit together. */
export function joinedSource(
  path: string,
  shards: readonly TensorSource[],
  kindOf: (name: string) => JoinKind,
): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const name of shards[0]!.tensors.keys()) {
    const parts = shards.map((shard) => tensorInfo(shard, name));
    tensors.set(name, joinedInfo(parts, kindOf(name), `${path}: tensor ${quoted(name)}`));
  }
  for (const shard of shards) {
    const extra = [...shard.tensors.keys()].find((name) => !tensors.has(name));
    if (extra !== undefined)
      throw new FormatError(`${shard.path}: tensor ${quoted(extra)} is not in ${shards[0]!.path}`);
  }
  return {
    path,
    tensors,
    async readRows(name, firstRow, target) {
      const info = tensorInfo(this, name);
      rowOffset(info, firstRow, target);
      const kind = kindOf(name);
      if (kind === 'copies' || shards.length === 1) await shards[0]!.readRows(name, firstRow, target);
      else if (kind === 'rows') await readStacked(shards, name, rowLayout(info).rowBytes, firstRow, target);
      else await readSideBySide(shards, name, rowLayout(info).rowBytes, firstRow, target);
    },
    async close() {
      await Promise.all(shards.map((shard) => shard.close()));
    },
  };
}

function joinedInfo(parts: readonly TensorInfo[], kind: JoinKind, where: string): TensorInfo {
  const first = parts[0]!;
  if (parts.length === 1) return first;
  const axis = kind === 'columns' ? 1 : 0;
  for (const part of parts) {
    const fits = part.shape.every((size, i) => size === first.shape[i] || (kind !== 'copies' && i === axis));
    if (part.dtype !== first.dtype || part.shape.length !== first.shape.length || !fits) {
      throw new FormatError(
        `${where}: its parts are ${first.dtype} [${first.shape}] and ${part.dtype} [${part.shape}], which do not fit together`,
      );
    }
  }
  if (kind === 'copies') return first;
  if (first.shape.length !== 2)
    throw new FormatError(`${where}: has shape [${first.shape}] and cannot be a part of a matrix`);
  const joined = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return { dtype: first.dtype, shape: first.shape.with(axis, joined), byteLength, location: null };
}

async function readStacked(
  shards: readonly TensorSource[],
  name: string,
  rowBytes: number,
  firstRow: number,
  target: Uint8Array,
): Promise<void> {
  const endRow = firstRow + target.length / rowBytes;
  let shardStart = 0;
  for (const shard of shards) {
    const shardEnd = shardStart + rowLayout(tensorInfo(shard, name)).numRows;
    const from = Math.max(firstRow, shardStart);
    const to = Math.min(endRow, shardEnd);
    if (from < to) {
      const part = target.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
      await shard.readRows(name, from - shardStart, part);
    }
    shardStart = shardEnd;
  }
}

async function readSideBySide(
  shards: readonly TensorSource[],
  name: string,
  rowBytes: number,
  firstRow: number,
  target: Uint8Array,
): Promise<void> {
  const numRows = target.length / rowBytes;
  let column = 0; // in bytes
  for (const shard of shards) {
    const partBytes = rowLayout(tensorInfo(shard, name)).rowBytes;
    const rowsAtOnce = Math.max(1, Math.floor(SCRATCH_BYTES / Math.max(1, partBytes)));
    for (let row = 0; row < numRows; row += rowsAtOnce) {
      const rows = Math.min(rowsAtOnce, numRows - row);
      const scratch = new Uint8Array(rows * partBytes);
      await shard.readRows(name, firstRow + row, scratch);
      for (let i = 0; i < rows; i++) {
        target.set(scratch.subarray(i * partBytes, (i + 1) * partBytes), (row + i) * rowBytes + column);
      }
    }
    column += partBytes;
  }
}

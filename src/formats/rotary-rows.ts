/**
 * The two row orders of wq and wk: Meta rotates pairs (2i, 2i + 1) of a head, Hugging Face pairs (i, i + headDim / 2).
 * Reordering rows is exact and works on stored bytes of any type, quantised ones included.
 * Source: transformers convert_llama_weights_to_hf.py `permute`.
 */
import { rowLayout, rowOffset, type TensorInfo, type TensorSource } from './tensor-source.ts';

export type RotaryOrder = 'interleaved' | 'halves';

/** Row of the source that lands at `row` when rows in the other order are brought into `wanted` order. */
export function rotarySourceRow(row: number, headDim: number, wanted: RotaryOrder): number {
  const inHead = row % headDim;
  const head = row - inHead;
  const half = headDim / 2;
  if (wanted === 'interleaved') return head + (inHead % 2) * half + Math.floor(inHead / 2);
  return head + (inHead % half) * 2 + Math.floor(inHead / half);
}

/** Fills `target` with rows from `firstRow` on of the reordered tensor; reads whole heads, one at a time. */
export async function readRotaryRows(
  source: TensorSource,
  name: string,
  info: TensorInfo,
  order: { readonly headDim: number; readonly wanted: RotaryOrder },
  firstRow: number,
  target: Uint8Array,
): Promise<void> {
  rowOffset(info, firstRow, target);
  const { rowBytes } = rowLayout(info);
  const { headDim, wanted } = order;
  const endRow = firstRow + target.length / rowBytes;
  const head = new Uint8Array(headDim * rowBytes);
  for (let row = firstRow; row < endRow;) {
    const headStart = row - (row % headDim);
    await source.readRows(name, headStart, head);
    for (const headEnd = Math.min(headStart + headDim, endRow); row < headEnd; row++) {
      const from = (rotarySourceRow(row, headDim, wanted) - headStart) * rowBytes;
      target.set(head.subarray(from, from + rowBytes), (row - firstRow) * rowBytes);
    }
  }
}

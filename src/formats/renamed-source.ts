/**
 * A tensor source made of tensors of other sources under new names, wq and wk rows reordered where asked.
 * Knows no format: a reader states what comes from where, and everything above sees one table.
 */
import { readRotaryRows, type RotaryOrder } from './rotary-rows.ts';
import { tensorInfo, type TensorInfo, type TensorSource } from './tensor-source.ts';

export interface RenamedTensor {
  readonly source: TensorSource;
  readonly name: string;
  /** Reorder the rows of each head into this order; null leaves the tensor as it is stored. */
  readonly rotary: { readonly headDim: number; readonly wanted: RotaryOrder } | null;
}

/** A source that shows `tensors` under their keys; closing it closes every source it was built from. */
export function renamedSource(
  path: string,
  tensors: ReadonlyMap<string, RenamedTensor>,
  owned: readonly TensorSource[],
): TensorSource {
  const infos = new Map<string, TensorInfo>();
  for (const [name, { source, name: storedName, rotary }] of tensors) {
    const info = tensorInfo(source, storedName);
    infos.set(name, rotary === null ? info : { ...info, location: null });
  }
  return {
    path,
    tensors: infos,
    async readRows(name, firstRow, target) {
      const info = tensorInfo(this, name);
      const { source, name: storedName, rotary } = tensors.get(name)!;
      if (rotary === null) await source.readRows(storedName, firstRow, target);
      else await readRotaryRows(source, storedName, info, rotary, firstRow, target);
    },
    async close() {
      await Promise.all(owned.map((source) => source.close()));
    },
  };
}

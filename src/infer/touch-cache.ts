/**
 * Has the system hand out the memory of a KV cache before anybody waits for it: else the first sequences that reach fresh pages of all layers
 * at once hold up every stream by the time it takes to clear them.
 */
import { runInSlices, type Sliced } from '../util/slices.ts';
import { kvStateNames } from './kv-cache.ts';
import type { InferenceModel } from './model.ts';

/** The smallest page of the systems that cria runs on: the first byte written brings the page. */
const PAGE_BYTES = 4096;

/** To be called before the first step; other work goes on meanwhile, as clearing gigabytes takes seconds. */
export async function touchCache(model: InferenceModel): Promise<void> {
  await runInSlices(touching(model));
}

function* touching({ config, states }: InferenceModel): Sliced<void> {
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const name of Object.values(kvStateNames(layer))) {
      const bytes = states.get(name)!.bytes ?? new Uint8Array(0);
      for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
        bytes[at] = 0;
        yield;
      }
    }
  }
}

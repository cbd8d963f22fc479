/**
 * Has the system hand out the memory of a KV cache before anybody waits for it: else the first sequences that reach fresh pages of all layers
 * at once hold up every stream by the time it takes to clear them.
 */
import { setImmediate } from 'node:timers/promises';
import { kvStateNames } from './kv-cache.ts';
import type { InferenceModel } from './model.ts';

/** To be called before the first step; lets the event loop go on between layers. */
export async function touchCache({ config, states }: InferenceModel): Promise<void> {
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const name of Object.values(kvStateNames(layer))) states.get(name)!.bytes?.fill(0);
    await setImmediate();
  }
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createNativeBackend } from '../runtime/native.ts';
import { nativeUnavailableReason } from '../runtime/native-addon.ts';
import { kvStateNames } from './kv-cache.ts';
import { touchCache } from './touch-cache.ts';
import { toyModel } from './toy-model.ts';

const MIB = 2 ** 20;

describe('touching a KV cache', { skip: nativeUnavailableReason() ?? false }, () => {
  it('brings all of its memory, and lets the event loop turn meanwhile', async () => {
    const model = toyModel(createNativeBackend({ threads: 1 }), { batch: 1024 });
    const names = Object.values(kvStateNames(0));
    const cacheMib = (model.config.numLayers * names.length * model.states.get(names[0]!)!.sizeBytes) / MIB;
    let [turns, isOver] = [0, false];
    const turn = (): void => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    const before = process.memoryUsage.rss();
    await touchCache(model);
    isOver = true;
    const grownMib = (process.memoryUsage.rss() - before) / MIB;
    assert.ok(cacheMib >= 64 && grownMib > 0.8 * cacheMib, `${grownMib} of ${cacheMib} MiB`);
    assert.ok(turns > 1, `${turns} turns`);
  });
});

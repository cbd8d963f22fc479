/**
 * The whole way from prompt to tokens on real kernels: a reply depends on its request alone.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../runtime/backend.ts';
import { Engine, type EngineOptions } from './engine.ts';
import type { ModelOptions } from './model.ts';
import { ModelRunner } from './model-runner.ts';
import { testBackends, toyModel, toyPrompt } from './toy-model.ts';

const REQUESTS = [5, 90, 17, 1, 40].map((length, i) => ({
  promptIds: toyPrompt(length, i),
  maxTokens: 20 + 3 * i,
  seed: i,
  sampling: { temperature: 1, topP: 0.95, topK: i === 2 ? 10 : null },
}));

function engineOn(backend: Backend, model: Partial<ModelOptions>, options: EngineOptions = {}): Engine {
  return new Engine(new ModelRunner(toyModel(backend, model)), null, options);
}

async function repliesTogether(engine: Engine, order: readonly number[]): Promise<readonly (readonly number[])[]> {
  const generations = order.map((i) => engine.generate(REQUESTS[i]!));
  const results = await Promise.all(generations.map(({ result }) => result));
  engine.checkInvariants();
  return REQUESTS.map((_, i) => results[order.indexOf(i)]!.ids);
}

describe('a reply', () => {
  for (const model of [
    { weightType: 'f32', kvType: 'f32' },
    { weightType: 'q4', kvType: 'f16' },
  ] as const) {
    const seen: (readonly (readonly number[])[])[] = [];
    for (const [name, open] of testBackends()) {
      it(`is the same alone, in company and short of memory: ${model.weightType}, ${name}`, async () => {
        const backend = open();
        const alone: (readonly number[])[] = [];
        const engine = engineOn(backend, model);
        for (const request of REQUESTS) alone.push((await engine.generate(request).result).ids);
        const together = await repliesTogether(engineOn(backend, model), [0, 1, 2, 3, 4]);
        assert.deepEqual(together, alone);
        const small = engineOn(backend, { ...model, batch: 1 }, { maxNumBatchedTokens: 23 });
        assert.deepEqual(await repliesTogether(small, [3, 1, 4, 0, 2]), alone);
        assert.deepEqual(
          alone.map((ids) => ids.length),
          REQUESTS.map(({ maxTokens }) => maxTokens),
        );
        if (name.startsWith('native')) seen.push(alone);
      });
    }
    it(`is the same on 1 and 2 threads: ${model.weightType}`, () => {
      for (const replies of seen) assert.deepEqual(replies, seen[0]);
    });
  }
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../runtime/backend.ts';
import { KV_BLOCK_SIZE, KV_TYPES } from './kv-cache.ts';
import type { ModelOptions } from './model.ts';
import { type Chunk, ModelRunner } from './model-runner.ts';
import { MAX_PLANS } from './plan-cache.ts';
import { testBackends, toyModel, TOY_CONFIG, toyPrompt } from './toy-model.ts';

const LENGTH = 150; // more than two key tiles of the native kernel
const V = TOY_CONFIG.vocabSize;
const blocksFrom = (first: number) => Array.from({ length: Math.ceil(LENGTH / KV_BLOCK_SIZE) }, (_, i) => first + i);

/** Logits of all tokens of `ids`, computed in chunks of these sizes, the last size repeated. */
async function logitsInChunks(runner: ModelRunner, ids: number[], sizes: number[], blockIds = blocksFrom(0)) {
  const all = new Float32Array(ids.length * V);
  for (let at = 0, i = 0; at < ids.length; i++) {
    const size = sizes[Math.min(i, sizes.length - 1)]!;
    const chunk: Chunk = { ids: ids.slice(at, at + size), startPos: at, blockIds, logits: 'all' };
    all.set((await runner.run([chunk]))[0]!, at * V);
    at += chunk.ids.length;
  }
  return all;
}

function runnerOn(backend: Backend, options: Partial<ModelOptions> = {}): ModelRunner {
  return new ModelRunner(toyModel(backend, options));
}

for (const [name, open] of testBackends()) {
  describe(`a step on the ${name} backend`, () => {
    it('gives the same bits cached, in chunks and whole, at every position', async () => {
      for (const [weightType, kvType] of [
        ['f32', 'f32'],
        ['bf16', 'bf16'],
        ['q8', 'f16'],
        ['q4', 'f32'],
      ] as const) {
        const runner = runnerOn(open(), { weightType, kvType });
        const ids = toyPrompt(LENGTH);
        const whole = await logitsInChunks(runner, ids, [LENGTH]);
        assert.equal(whole.length, LENGTH * V);
        for (const sizes of [[1], [100, 1], [7], [64, 33]]) {
          assert.deepEqual(await logitsInChunks(runner, ids, sizes), whole, `${weightType}, chunks of ${sizes}`);
        }
      }
    });

    it('gives the same bits for a sequence alone and among others, wherever its blocks lie', async () => {
      const runner = runnerOn(open());
      const [a, b] = [toyPrompt(LENGTH, 1), toyPrompt(LENGTH, 2)];
      const alone = await logitsInChunks(runner, a, [LENGTH]);
      const scattered = blocksFrom(0).map((id) => (id * 7 + 3) % 40);
      const rest = Array.from({ length: 40 }, (_, id) => id).filter((id) => !scattered.includes(id));
      await runner.run([
        { ids: a.slice(0, 80), startPos: 0, blockIds: scattered, logits: 'none' },
        { ids: b.slice(0, 20), startPos: 0, blockIds: rest, logits: 'none' },
      ]);
      const [, fromB, fromA] = await runner.run([
        { ids: toyPrompt(3), startPos: 0, blockIds: [60], logits: 'none' },
        { ids: b.slice(20, 90), startPos: 20, blockIds: rest, logits: 'last' },
        { ids: a.slice(80), startPos: 80, blockIds: scattered, logits: 'all' },
      ]);
      assert.deepEqual(Float32Array.from(fromA!), alone.slice(80 * V));
      assert.deepEqual(Float32Array.from(fromB!), (await logitsInChunks(runner, b, [90])).slice(89 * V, 90 * V));
    });

    it('keeps keys and values in every type', async () => {
      const ids = toyPrompt(40);
      const exact = await logitsInChunks(runnerOn(open()), ids, [40]);
      for (const kvType of KV_TYPES) {
        const logits = await logitsInChunks(runnerOn(open(), { kvType }), ids, [9]);
        const worst = Math.max(...logits.map((value, i) => Math.abs(value - exact[i]!)));
        assert.ok(kvType === 'f32' ? worst === 0 : worst > 0 && worst < 0.2, `${kvType}: ${worst}`);
      }
    });

    it('makes the plans of decoding ahead, in slices, until it is disposed of', async () => {
      const backend = open();
      let numLoads = 0;
      const model = toyModel(backend);
      const counting = Object.create(backend, {
        workspaceBytes: { value: (node: never) => backend.workspaceBytes(node) },
        load: { value: (...plan: Parameters<Backend['load']>) => (numLoads++, backend.load(...plan)) },
      }) as Backend;
      const runner = new ModelRunner({ ...model, backend: counting });
      const slices = [...runner.preparation(3)].length;
      assert.deepEqual([slices, numLoads], [3, 3]);
      const chunks = [0, 1, 2].map((id): Chunk => ({ ids: [id], startPos: 0, blockIds: [id], logits: 'last' }));
      for (const count of [1, 2, 3]) await runner.run(chunks.slice(0, count));
      assert.equal(numLoads, 3);
      const running = runner.run([{ ...chunks[0]!, ids: [0, 1] }]);
      assert.equal(numLoads, 3); // so far: whoever gets tokens of the step before has a turn first
      await running;
      assert.equal(numLoads, 4);
      const rest = runner.preparation(1000);
      for (let i = 0; i < 3; i++) rest.next(); // those that are there
      runner.dispose();
      assert.equal([...rest].length, 0);
      assert.equal(numLoads, 4);
      assert.equal([...new ModelRunner(model).preparation(1000)].length, MAX_PLANS / 2);
    });

    it('gives no logits where none are asked for', async () => {
      const [none] = await runnerOn(open()).run([{ ids: [1, 2], startPos: 0, blockIds: [0], logits: 'none' }]);
      assert.equal(none!.length, 0);
    });
  });
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openSafetensors } from '../formats/safetensors.ts';
import { config as metaTiny } from '../../test/parity/meta-tiny.ts';
import { llamaWeightShapes } from '../model/config.ts';
import { llamaHidden, llamaLogits } from '../model/llama3.ts';
import { sizeConfig } from '../model/sizes.ts';
import { trainingContext } from '../model/training-step.ts';
import type { Backend } from '../runtime/backend.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import { compile, createStates, type StateStore } from '../runtime/compile.ts';
import { trace } from '../tensor/graph.ts';
import type { Precision } from '../tensor/operators.ts';
import { CapacityError, ConfigError } from '../util/errors.ts';
import { KV_TYPES, kvBytesPerToken, kvCacheBytes } from './kv-cache.ts';
import { createModel, loadModel, randomModel, stateBytes, trainedModel } from './model.ts';
import { ModelRunner } from './model-runner.ts';
import { testBackends, toyModel, TOY_CONFIG, toyPrompt } from './toy-model.ts';
import { weightStates } from './weight-states.ts';

const float32 = () => createReferenceBackend({ precision: 'float32' });
const options = { weightType: 'f32', kvType: 'f32', contextLength: 48, batch: 1 } as const;

function sizeOfCache(states: StateStore): number {
  return [...states]
    .filter(([name]) => name.startsWith('cache.'))
    .reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0);
}

describe('KV cache', () => {
  it('takes exactly 2 * bytes per value * head dim * kv heads * layers * context * batch, rounded up to whole blocks', () => {
    for (const [name, open] of testBackends()) {
      for (const kvType of name.startsWith('native') ? KV_TYPES : (['f32'] as const)) {
        for (const [contextLength, rounded] of [
          [48, 48],
          [49, 64],
          [1, 16],
        ] as const) {
          const model = createModel(TOY_CONFIG, open(), { ...options, kvType, contextLength, batch: 3 });
          const bytesPerRow = { f32: 4 * 8 * 2, bf16: 2 * 8 * 2, f16: 2 * 8 * 2, int8: 32 + 2 }[kvType]; // int8: whole blocks of 32
          assert.equal(sizeOfCache(model.states), 2 * bytesPerRow * 2 * rounded * 3, `${name} ${kvType}`);
          assert.equal(sizeOfCache(model.states), kvCacheBytes(TOY_CONFIG, kvType, rounded, 3));
        }
      }
    }
  });

  it('is smaller by the group size with grouped queries', () => {
    const ungrouped = { ...TOY_CONFIG, numKvHeads: TOY_CONFIG.numHeads };
    assert.equal(kvBytesPerToken(ungrouped, 'f16'), 3 * kvBytesPerToken(TOY_CONFIG, 'f16'));
  });
});

describe('a model in memory', () => {
  it('takes what is said before it is allocated', () => {
    for (const [name, open] of testBackends()) {
      if (!name.startsWith('native')) continue;
      const model = createModel(TOY_CONFIG, open(), { ...options, weightType: 'bf16', kvType: 'f16' });
      assert.equal(
        [...model.states.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        stateBytes(model),
      );
    }
  });

  it('keeps a tied embedding once, and an untied one as rows beside the packed output', () => {
    const untied = { ...TOY_CONFIG, tiedEmbeddings: false };
    assert.equal(weightStates(TOY_CONFIG, 'bf16').get('tok_embeddings.weight')?.dtype, 'panel_bf16');
    assert.equal(weightStates(untied, 'bf16').get('tok_embeddings.weight')?.dtype, 'bf16');
    assert.equal(weightStates(untied, 'bf16').get('output.weight')?.dtype, 'panel_bf16');
  });

  it('says how much memory is missing before it takes any', () => {
    const huge = { ...sizeConfig('llama3.1-405b'), numLayers: 4096 };
    assert.throws(
      () => createModel(huge, float32(), { ...options, contextLength: 8192 }),
      (error: Error) =>
        error instanceof CapacityError &&
        /needs \d+\.\d GiB of memory and \d+\.\d GiB are available; use/.test(error.message),
    );
  });

  it('refuses a context that is longer than the model was trained for, or none', () => {
    assert.throws(
      () => createModel(TOY_CONFIG, float32(), { ...options, contextLength: 257 }),
      /257 .* 256 .* trained/,
    );
    assert.throws(() => createModel(TOY_CONFIG, float32(), { ...options, contextLength: 0 }), ConfigError);
  });

  it('reports its loading and reads every weight of a checkpoint', async () => {
    const weights = await openSafetensors(
      new URL('../../test/fixtures/meta-tiny/model.safetensors', import.meta.url).pathname,
    );
    const shares: number[] = [];
    const model = await loadModel(
      { config: metaTiny, weights },
      float32(),
      { ...options, contextLength: 24 },
      { onProgress: (share) => shares.push(share) },
    );
    assert.equal(shares.length, weights.tensors.size);
    assert.equal(shares.at(-1), 1);
    const stored = await weights.read('layers.1.attention.wk.weight', 'F32');
    assert.deepEqual(model.states.get('layers.1.attention.wk.weight')!.read(), stored);
    await weights.close();
  });

  it('has random weights whose logits differ from token to token', async () => {
    const runner = new ModelRunner(randomModel(TOY_CONFIG, float32(), options));
    const [logits] = await runner.run([{ ids: [1, 2], startPos: 0, blockIds: [0], logits: 'all' }]);
    assert.equal(new Set(logits).size, logits!.length);
  });
});

/** Logits of the tokens `ids` as a training step computes them. */
async function trainingLogits(backend: Backend, states: StateStore, precision: Precision, ids: number[]) {
  const length = ids.length;
  const graph = trace((t) => {
    const context = trainingContext(t, TOY_CONFIG, { numTokens: length, numSegments: 1, numBlocks: 1 }, precision);
    t.output('logits', llamaLogits(llamaHidden(t.input('tokens', 'i32', [length]), context), context));
  });
  const layout = { segments: [0, length, length, 0], blocks: [0] };
  const inputs = { tokens: ids, positions: ids.map((_, i) => i), ...layout };
  return (await compile(graph, backend, states).run(inputs))['logits'];
}

describe("a model on a trainer's weights", () => {
  for (const [name, open] of testBackends()) {
    it(`gives the bits of the training step, and follows the weights as they change: ${name}`, async () => {
      const backend = open();
      for (const precision of ['f32', 'bf16'] as const) {
        const weights: StateStore = new Map();
        createStates(backend, weights, llamaWeightShapes(TOY_CONFIG), 'f32');
        const source = toyModel(backend);
        for (const [weight, storage] of weights) storage.write(source.states.get(weight)!.read());
        const sizes = { precision, contextLength: TOY_CONFIG.maxSeqLen, batch: 1 };
        const model = trainedModel(TOY_CONFIG, backend, weights, sizes);
        const runner = new ModelRunner(model);
        const chunk = { ids: toyPrompt(20), startPos: 0, blockIds: [0, 1], logits: 'all' } as const;
        const [logits] = await runner.run([chunk]);
        assert.deepEqual(logits, await trainingLogits(backend, model.states, precision, chunk.ids), precision);
        weights.get('norm.weight')!.write(new Float32Array(TOY_CONFIG.dim));
        const [zeroed] = await runner.run([chunk]);
        assert.ok(zeroed!.every((logit) => logit === 0));
      }
    });
  }
});

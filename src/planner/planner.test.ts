import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kvBytesPerToken } from '../infer/kv-cache.ts';
import { sizeConfig, sizeNames } from '../model/sizes.ts';
import { trace } from '../tensor/graph.ts';
import { attention, matmul } from '../tensor/ops.ts';
import { causalPairs, graphFlops } from './graph-cost.ts';
import { inferencePlan, type InferenceSizes, inferenceTime, kvBytesByType } from './inference-plan.ts';
import { MACHINES } from './machine.ts';
import { type TrainingPlan, trainingPlan, trainingTime } from './training-plan.ts';

const GIB = 2 ** 30;
const sizes = (contextLength: number, batch = 1): InferenceSizes => ({
  weightType: 'bf16',
  kvType: 'f16',
  contextLength,
  batch,
});

describe('plan of generation', () => {
  // Parameter counts: the safetensors totals of the published checkpoints. KV cache: 2 * 2 * 128 * 8 * layers * 8192 bytes.
  const published: Record<string, { parameters: number; kvGib: number }> = {
    'llama3-8b': { parameters: 8_030_261_248, kvGib: 1 },
    'llama3-70b': { parameters: 70_553_706_496, kvGib: 2.5 },
    'llama3.1-8b': { parameters: 8_030_261_248, kvGib: 1 },
    'llama3.1-70b': { parameters: 70_553_706_496, kvGib: 2.5 },
    'llama3.1-405b': { parameters: 405_853_388_800, kvGib: 3.9375 },
    'llama3.2-1b': { parameters: 1_235_814_400, kvGib: 0.25 },
    'llama3.2-3b': { parameters: 3_212_749_824, kvGib: 0.875 },
  };
  for (const [name, { parameters, kvGib }] of Object.entries(published)) {
    it(`knows the parameters and KV cache of ${name} without memory for either`, () => {
      const config = sizeConfig(name);
      const plan = inferencePlan(config, sizes(8192));
      assert.equal(plan.numParameters, parameters);
      assert.equal(plan.kvCacheBytes, kvGib * GIB);
      assert.equal(plan.kvAllocatedBytes, plan.kvCacheBytes);
      assert.equal(plan.kvBytesWithoutGqa / plan.kvCacheBytes, config.numHeads / config.numKvHeads);
      // bf16 but for the norms, which are f32.
      const normValues = (2 * config.numLayers + 1) * config.dim;
      assert.equal(plan.weightBytes, 2 * parameters + 2 * normValues);
    });
  }

  it("explains the notes' example of GPT-3: 4.5 MiB a token, so 4.5 GiB at 1,024 tokens and 9 GiB at its whole context", () => {
    const gpt3 = { numLayers: 96, numKvHeads: 96, headDim: 128 };
    assert.equal(kvBytesPerToken(gpt3, 'f16'), 4.5 * 2 ** 20);
    assert.equal(kvBytesPerToken(gpt3, 'f16') * 1024, 4.5 * GIB);
    assert.equal(kvBytesPerToken(gpt3, 'f16') * 2048, 9 * GIB);
  });

  it('counts 2 operations for each weight a token meets, and those of attention', () => {
    const config = sizeConfig('llama3-8b');
    const plan = inferencePlan(config, sizes(8192, 4));
    const looked = config.vocabSize * config.dim;
    const norms = (2 * config.numLayers + 1) * config.dim;
    const attentionEach = 4 * config.dim * config.numLayers * 8192;
    assert.equal(plan.decodeFlops, 4 * (2 * (plan.numParameters - looked - norms) + attentionEach));
  });

  it('rounds the KV cache up to whole blocks of each sequence', () => {
    const plan = inferencePlan(sizeConfig('tiny'), sizes(33, 3));
    assert.equal(plan.kvAllocatedBytes / plan.kvCacheBytes, 48 / 33);
  });

  it('gives the KV cache in every type', () => {
    const { f32, bf16, f16 } = kvBytesByType(sizeConfig('llama3-8b'), 8192, 2);
    assert.deepEqual([f32, bf16, f16], [4 * GIB, 2 * GIB, 2 * GIB]);
  });

  it('estimates time by arithmetic for prompts and by memory for decoding', () => {
    const plan = inferencePlan(sizeConfig('llama3-8b'), sizes(8192));
    const h100 = MACHINES['h100']!;
    const { prefillSeconds, decodeTps } = inferenceTime(plan, sizes(8192), h100);
    assert.equal(prefillSeconds, plan.prefillFlops / h100.flops.bf16);
    assert.equal(decodeTps, h100.bandwidth / plan.decodeBytes);
  });

  it('plans every size', () => {
    for (const name of sizeNames) assert.ok(inferencePlan(sizeConfig(name), sizes(64)).totalBytes > 0, name);
  });
});

function training(contextLength: number, checkpointLayers: boolean): TrainingPlan {
  return trainingPlan(sizeConfig('smollm2-135m'), { precision: 'bf16', contextLength, batch: 2, checkpointLayers });
}

describe('plan of training', () => {
  it('has weights, gradients and two moments in f32, and activations that grow with the tokens', () => {
    const plan = training(128, false);
    assert.equal(plan.weightBytes, 4 * 134_515_008);
    assert.deepEqual([plan.gradientBytes, plan.momentBytes], [plan.weightBytes, 2 * plan.weightBytes]);
    assert.ok(training(256, false).activationBytes > 1.5 * plan.activationBytes);
  });

  it('takes less memory and more operations when layers are computed again', () => {
    const [kept, recomputed] = [training(256, false), training(256, true)];
    assert.ok(recomputed.activationBytes < 0.5 * kept.activationBytes);
    const extra = recomputed.stepFlops / kept.stepFlops;
    assert.ok(extra > 1.15 && extra < 1.34, `${extra} times the operations`);
  });

  it('counts about 6 operations a parameter and token', () => {
    const plan = training(128, false);
    const ratio = plan.stepFlops / plan.tokensPerStep / (6 * 134_515_008);
    assert.ok(ratio > 1 && ratio < 1.1, String(ratio));
  });

  it('gives hours and cost on a machine', () => {
    const plan = training(128, false);
    const machine = {
      name: 'one',
      flops: { f32: 1e9, bf16: 1e12, int8: 1e12 },
      bandwidth: 1e9,
      memoryBytes: 1e9,
      pricePerHour: 2,
    };
    const { numMachines, machineHours, cost } = trainingTime(plan, { precision: 'bf16' }, machine, 1e9);
    assert.equal(numMachines, Math.ceil(plan.totalBytes / 1e9));
    assert.ok(Math.abs(machineHours - ((plan.stepFlops / 256) * 1e9) / 0.4e12 / 3600) < 1e-6);
    assert.equal(cost, 2 * machineHours);
  });
});

describe('operations of a graph', () => {
  it('follow from the shapes of products, transposed or not, and from the pairs that attention sees', () => {
    const graph = trace((t) => {
      const x = t.input('x', 'f32', [5, 8]);
      t.output('y', matmul(t.input('w', 'f32', [8, 3]), x, { transposeA: true, transposeB: true }));
      const [q, k] = [t.input('q', 'f32', [5, 8]), t.input('k', 'f32', [9, 4])];
      const layout = { segments: t.input('segments', 'i32', [1, 4]), blocks: t.input('blocks', 'i32', [1]) };
      const heads = { numHeads: 2, numKvHeads: 1, headDim: 4, scale: 1, blockSize: 16, out: 'f32' } as const;
      t.output('z', attention(q, k, k, layout, heads));
    });
    assert.equal(causalPairs(5, 9), 5 + 6 + 7 + 8 + 9);
    assert.equal(graphFlops(graph, { numPairs: 35 }), 2 * 3 * 8 * 5 + 2 * 2 * 4 * 2 * 35);
  });
});

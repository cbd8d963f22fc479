/**
 * The gradient of a whole small Llama in float64 against central differences, with and without gradient checkpointing, over packed
 * documents, grouped heads, ignored targets and padding.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkpointRegions } from '../../src/autodiff/checkpoint.ts';
import { gradients } from '../../src/autodiff/gradients.ts';
import { type LlamaConfig, llamaWeightShapes } from '../../src/model/config.ts';
import { initialWeight } from '../../src/model/init.ts';
import { ropeTable } from '../../src/model/rope.ts';
import { ROPE_TABLE, targetLogProbs, trainingContext } from '../../src/model/training-step.ts';
import type { Executable, Values } from '../../src/runtime/backend.ts';
import { compile, createStates, type StateStore } from '../../src/runtime/compile.ts';
import { createReferenceBackend } from '../../src/runtime/reference.ts';
import { numValues } from '../../src/tensor/dtype.ts';
import { type Graph, trace } from '../../src/tensor/graph.ts';
import { affine, sum } from '../../src/tensor/ops.ts';
import { fillNormal, randomStream } from '../../src/util/rng.ts';

const config: LlamaConfig = {
  dim: 12,
  numLayers: 2,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 6,
  ffnDim: 20,
  vocabSize: 33,
  normEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: null,
  maxSeqLen: 16,
  tiedEmbeddings: false,
};

const SEED = 5;
const NUM_TOKENS = 15;
/** Two documents of 9 and 5 tokens, then one token of padding. */
const inputs = {
  tokens: Int32Array.from({ length: NUM_TOKENS }, (_, i) => (i * 7) % config.vocabSize),
  targets: Int32Array.from([3, 32, -1, 0, 7, 7, -1, 12, 30, 1, 2, 3, -1, 5, -1]),
  positions: Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 0]),
  segments: Int32Array.from([0, 9, 9, 0, 9, 5, 5, 1, 0, 0, 0, 0]),
  blocks: Int32Array.from([0, 9, 0]),
};
const batch = { numTokens: NUM_TOKENS, numSegments: 3, numBlocks: 3 };

function lossGraph(model: LlamaConfig): Graph {
  return trace((t) => {
    const loss = affine(sum(targetLogProbs(t, batch, trainingContext(t, model, batch, 'f32'))), -1 / 11);
    const targets = [...llamaWeightShapes(model)].map(([name, shape]) => ({
      tensor: t.state(name, 'f32', shape),
      addTo: null,
    }));
    for (const [i, gradient] of gradients(loss, targets).entries()) t.output(targets[i]!.tensor.name, gradient);
    t.output('loss', loss);
  });
}

/** A fresh random model, its norms not all alike and its embeddings so large that a step of the differences is small beside them. */
function roughStates(model: LlamaConfig): { backend: ReturnType<typeof createReferenceBackend>; states: StateStore } {
  const backend = createReferenceBackend({ precision: 'float64' });
  const states: StateStore = new Map();
  const shapes = llamaWeightShapes(model);
  createStates(backend, states, shapes, 'f32');
  createStates(backend, states, new Map([[ROPE_TABLE, [model.maxSeqLen, model.headDim]]]), 'f32');
  states.get(ROPE_TABLE)!.write(ropeTable(model, model.maxSeqLen));
  for (const [name, shape] of shapes) {
    const values = initialWeight(model, name, numValues(shape), SEED);
    if (name.endsWith('norm.weight')) for (const i of values.keys()) values[i]! += Math.sin(i) / 4;
    if (name === 'tok_embeddings.weight') for (const i of values.keys()) values[i]! *= 10;
    states.get(name)!.write(values);
  }
  return { backend, states };
}

/** The derivative of the loss for one weight along one direction, by central differences of fourth order. */
async function centralDifference(
  executable: Executable,
  states: StateStore,
  name: string,
  direction: Float64Array,
): Promise<number> {
  const STEP = 2e-4; // truncation step^4 and rounding 1e-16 / step both stay below 1e-8 here
  const storage = states.get(name)!;
  const original = storage.read();
  const lossAt = async (step: number): Promise<number> => {
    storage.write(Float64Array.from(original, (value, i) => value + step * direction[i]!));
    return (await executable.run(inputs)).loss![0]!;
  };
  const near = (await lossAt(STEP)) - (await lossAt(-STEP));
  const far = (await lossAt(2 * STEP)) - (await lossAt(-2 * STEP));
  storage.write(original);
  return (8 * near - far) / (12 * STEP);
}

async function worstError(model: LlamaConfig, transform: (graph: Graph) => Graph): Promise<number> {
  const { backend, states } = roughStates(model);
  const executable = compile(transform(lossGraph(model)), backend, states);
  const analytic = await executable.run(inputs);
  let worst = 0;
  for (const name of llamaWeightShapes(model).keys()) {
    const gradient = analytic[name]!;
    const direction = new Float64Array(gradient.length);
    fillNormal(direction, randomStream(SEED, `direction/${name}`));
    const expected = await centralDifference(executable, states, name, direction);
    const given = direction.reduce((total, value, i) => total + value * gradient[i]!, 0);
    const scale = Math.hypot(...gradient) * Math.hypot(...direction);
    worst = Math.max(worst, Math.abs(given - expected) / Math.max(Math.abs(expected), 1e-3 * scale));
  }
  return worst;
}

function allGradients(transform: (graph: Graph) => Graph): Promise<Record<string, Values>> {
  const { backend, states } = roughStates(config);
  return compile(transform(lossGraph(config)), backend, states).run(inputs);
}

describe('gradient of a whole Llama', () => {
  it('agrees with central differences in every weight', async () => {
    assert.ok((await worstError(config, (graph) => graph)) < 1e-6);
  });

  it('does so with tied embeddings, where two gradients meet', async () => {
    assert.ok((await worstError({ ...config, tiedEmbeddings: true }, (graph) => graph)) < 1e-6);
  });

  it('keeps its bits under gradient checkpointing', async () => {
    assert.deepEqual(await allGradients(checkpointRegions), await allGradients((graph) => graph));
  });
});

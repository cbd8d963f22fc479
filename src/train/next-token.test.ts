import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { relativeError } from '../../test/support.ts';
import { batchShape, IGNORED, packBatch, type PackedBatch, type Sequence } from '../data/packed-batch.ts';
import { type LlamaConfig, llamaWeightShapes } from '../model/config.ts';
import { gradientName } from '../optim/adamw.ts';
import type { Values } from '../runtime/backend.ts';
import { compile, type StateStore } from '../runtime/compile.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import { integer, randomStream } from '../util/rng.ts';
import { evaluateNextToken } from './evaluate.ts';
import { batchInputs, LOSS_SCALE, nextTokenGradientGraph, nextTokenLossGraph } from './next-token.ts';
import { createTrainingStates } from './training-states.ts';

const CONFIG: LlamaConfig = {
  dim: 16,
  numLayers: 2,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 4,
  ffnDim: 24,
  vocabSize: 40,
  normEps: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: null,
  maxSeqLen: 12,
  tiedEmbeddings: true,
};
const SEQ_LEN = 12;

/** A document of random ids whose first `masked` targets do not count. */
function document(name: string, length: number, masked: number): Sequence {
  const stream = randomStream(1, name);
  const ids = Array.from({ length: length + 1 }, (_, i) => integer(stream, i, CONFIG.vocabSize));
  return { ids: ids.slice(0, -1), targets: ids.slice(1).map((id, i) => (i < masked ? IGNORED : id)) };
}

/** Eight rows of unequal length, of which unequal parts count; one counts nothing at all. */
const ROWS = [0, 3, 11, 7, 12, 1, 10, 5].map((masked, i) => [document(`row ${i}`, 12 - (i % 4), masked)]);

async function gradientsOf(batches: readonly PackedBatch[], numValid: number) {
  const backend = createReferenceBackend({ precision: 'float64' });
  const states: StateStore = createTrainingStates(backend, CONFIG, 3);
  const { shape } = batches[0]!;
  const graph = nextTokenGradientGraph({ config: CONFIG, shape, precision: 'f32', checkpointLayers: false });
  const step = compile(graph, backend, states);
  let loss = 0;
  for (const batch of batches) {
    const outputs = await step.run({ ...batchInputs(batch), [LOSS_SCALE]: [1 / numValid] });
    for (const value of outputs.loss!) loss += value / numValid;
  }
  const gradients = new Map<string, Values>();
  for (const name of llamaWeightShapes(CONFIG).keys()) gradients.set(name, states.get(gradientName(name))!.read());
  return { loss, gradients };
}

function pack(rows: readonly (readonly Sequence[])[], segmentsPerRow = 1): PackedBatch {
  return packBatch(rows, SEQ_LEN, batchShape(rows.length, SEQ_LEN, segmentsPerRow));
}

describe('next-token gradients', () => {
  it('are the same for one micro-step of eight rows and eight of one, whatever is masked', async () => {
    const together = pack(ROWS);
    const apart = ROWS.map((row) => pack([row]));
    const a = await gradientsOf([together], together.numValid);
    const b = await gradientsOf(apart, together.numValid);
    assert.ok(Math.abs(a.loss - b.loss) < 1e-6 * a.loss);
    for (const [name, gradient] of a.gradients) {
      assert.ok(relativeError(b.gradients.get(name)!, gradient) < 1e-6, name);
    }
  });

  it('are the same for documents packed into one row and in rows of their own', async () => {
    const documents = [document('a', 5, 0), document('b', 4, 2), document('c', 3, 0)];
    const packed = pack([documents], 3);
    const separate = pack(documents.map((one) => [one]));
    assert.equal(packed.numValid, separate.numValid);
    const a = await gradientsOf([packed], packed.numValid);
    const b = await gradientsOf([separate], packed.numValid);
    assert.ok(Math.abs(a.loss - b.loss) < 1e-6 * a.loss);
    for (const [name, gradient] of a.gradients) {
      assert.ok(relativeError(b.gradients.get(name)!, gradient) < 1e-6, name);
    }
  });

  it('are 0 for a batch in which no target counts', async () => {
    const { loss, gradients } = await gradientsOf([pack([[document('masked', 12, 12)]])], 1);
    assert.equal(loss, 0);
    for (const gradient of gradients.values()) assert.ok(gradient.every((value) => value === 0));
  });
});

describe('evaluateNextToken', () => {
  it('gives ln V nats and the matching bits per byte for a model that knows nothing', async () => {
    const backend = createReferenceBackend({ precision: 'float64' });
    const states = createTrainingStates(backend, CONFIG, 3);
    states.get('norm.weight')!.write(new Float64Array(CONFIG.dim)); // all logits become equal
    const batch = pack(ROWS);
    const graph = nextTokenLossGraph({ config: CONFIG, shape: batch.shape, precision: 'f32', checkpointLayers: false });
    const measure = compile(graph, backend, states);
    const byteCounts = Uint32Array.from({ length: CONFIG.vocabSize }, (_, id) => (id === 0 ? 0 : 3));
    const result = await evaluateNextToken(measure, [batch, batch], byteCounts);
    const targets = [...batch.targets, ...batch.targets].filter((target) => target >= 0);
    const numBytes = targets.filter((target) => target > 0).length * 3;
    assert.deepEqual([result.numTargets, result.numBytes], [targets.length, numBytes]);
    assert.ok(Math.abs(result.loss - Math.log(CONFIG.vocabSize)) < 1e-12);
    assert.ok(Math.abs(result.bitsPerByte - (targets.length * Math.log2(CONFIG.vocabSize)) / numBytes) < 1e-12);
  });
});

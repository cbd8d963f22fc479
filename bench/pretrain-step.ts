/**
 * Our contender of bench/pretrain.ts: one pre-training step (gradient, clipping, AdamW) on random tokens, in a process of its own so that
 * its memory can be told. For each line `step`, `profile` or `peaks` on stdin it answers one line of JSON.
 */
import { parseArgs } from 'node:util';
import { batchShape, packBatch, type PackedBatch } from '../src/data/packed-batch.ts';
import { llamaWeightShapes, type LlamaConfig } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { adamwGraph, adamwHyper, gradientNormGraph, HYPER_INPUT, SQUARED_NORM_OUTPUT } from '../src/optim/adamw.ts';
import { clipCoefficient } from '../src/optim/clip.ts';
import { compile } from '../src/runtime/compile.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { causalPairs, operatorFlops } from '../src/planner/graph-cost.ts';
import { optimise } from '../src/runtime/passes.ts';
import type { Precision } from '../src/tensor/operators.ts';
import { sumOf } from '../src/train/evaluate.ts';
import { batchInputs, LOSS_SCALE, nextTokenGradientGraph } from '../src/train/next-token.ts';
import { createTrainingStates } from '../src/train/training-states.ts';
import { integer, randomStream } from '../src/util/rng.ts';
import { serveLines } from './serve-lines.ts';

const BETAS = { beta1: 0.9, beta2: 0.95 };
const LR = 1e-3;
const MAX_NORM = 1;

function randomBatch({ vocabSize }: LlamaConfig, numRows: number, seqLen: number): PackedBatch {
  const stream = randomStream(0, 'bench/pretrain');
  const rows = Array.from({ length: numRows }, (__, row) => {
    const ids = Int32Array.from({ length: seqLen + 1 }, (_, i) => integer(stream, row * (seqLen + 1) + i, vocabSize));
    return [{ ids: ids.subarray(0, seqLen), targets: ids.subarray(1) }];
  });
  return packBatch(rows, seqLen, batchShape(numRows, seqLen, 1));
}

/** A function that makes one optimizer step and gives its loss, and the operations of that step by operator. */
function prepareStep(
  backend: ReturnType<typeof createNativeBackend>,
  config: LlamaConfig,
  batch: PackedBatch,
  precision: Precision,
): { step: () => Promise<number>; flops: ReadonlyMap<string, number> } {
  const states = createTrainingStates(backend, config, 0);
  const shapes = llamaWeightShapes(config);
  const gradientGraph = nextTokenGradientGraph({ config, shape: batch.shape, precision, checkpointLayers: false });
  const gradient = compile(gradientGraph, backend, states);
  const norm = compile(gradientNormGraph(shapes), backend, states);
  const update = compile(adamwGraph(shapes, { ...BETAS, eps: 1e-8, weightDecay: 0.1 }), backend, states);
  const inputs = { ...batchInputs(batch), [LOSS_SCALE]: [1 / batch.numValid] };
  const seqLen = batch.shape.numTokens / batch.shape.numSegments;
  const numPairs = batch.shape.numSegments * causalPairs(seqLen, seqLen);
  const flops = operatorFlops(optimise(gradientGraph), { numPairs }); // what is left to compute
  let updateNumber = 0;
  const step = async () => {
    const { loss } = await gradient.run(inputs);
    const squaredNorm = (await norm.run({}))[SQUARED_NORM_OUTPUT]![0]!;
    const scale = clipCoefficient(Math.sqrt(squaredNorm), MAX_NORM);
    await update.run({ [HYPER_INPUT]: adamwHyper(LR, ++updateNumber, BETAS, scale) });
    return sumOf(loss!) / batch.numValid;
  };
  return { step, flops };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: 'nano-30m' },
      precision: { type: 'string', default: 'f32' },
      rows: { type: 'string', default: '8' },
      seq: { type: 'string', default: '512' },
      threads: { type: 'string', default: '2' },
    },
  });
  const config = sizeConfig(values.size);
  const backend = createNativeBackend({ threads: Number(values.threads) });
  const batch = randomBatch(config, Number(values.rows), Number(values.seq));
  const { step, flops } = prepareStep(backend, config, batch, values.precision as Precision);
  await serveLines({
    step: async () => {
      const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
      const loss = await step();
      const { user, system } = process.cpuUsage(startCpu);
      return { seconds: (performance.now() - startMs) / 1000, cpuSeconds: (user + system) / 1e6, loss };
    },
    profile: () => backend.profile().map((time) => Object.assign(time, { flops: flops.get(time.op) ?? 0 })),
    peaks: async () => ({
      f32: await backend.probe('multiplyAddF32'),
      bf16: await backend.probe('multiplyAddBf16'),
    }),
  });
}

await main();

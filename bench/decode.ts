/**
 * Decoding beside what memory allows at best: steps of a model whose weights no cache holds, and streaming reads by the same threads, in
 * turn; and how much of a step is spent outside the kernels.
 *
 *   npx tsx bench/decode.ts [--size smollm2-135m] [--weights f32] [--context 512] [--batch 1] [--rounds N] [--threads N] [--isa NAME] [--json]
 */
import { parseArgs } from 'node:util';
import { decodeBytes } from '../src/infer/decode-bytes.ts';
import { KV_TYPES, numBlocksFor } from '../src/infer/kv-cache.ts';
import { randomModel } from '../src/infer/model.ts';
import { type Chunk, ModelRunner } from '../src/infer/model-runner.ts';
import { mostLikely } from '../src/infer/sampler.ts';
import { WEIGHT_TYPES } from '../src/infer/weight-type.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { renderProfile } from '../src/runtime/operator-times.ts';
import { type Contender, interleave, type Sample } from './interleave.ts';
import { machine, renderMachine } from './machine.ts';

const STEPS_A_ROUND = 12;
const PROBE_BYTES = 2 ** 29;

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: 'smollm2-135m' },
    weights: { type: 'string', default: 'f32' },
    kv: { type: 'string' },
    context: { type: 'string', default: '512' },
    batch: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '12' },
    threads: { type: 'string' },
    isa: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const weightType = WEIGHT_TYPES.find((type) => type === flags.weights)!;
const kvType = KV_TYPES.find((type) => type === flags.kv) ?? (weightType === 'bf16' ? 'bf16' : 'f32');
const context = Number(flags.context);
const batch = Number(flags.batch);

const backend = createNativeBackend({
  ...(flags.threads === undefined ? {} : { threads: Number(flags.threads) }),
  ...(flags.isa === undefined ? {} : { isa: flags.isa }),
});
const config = sizeConfig(flags.size);
const model = randomModel(config, backend, { weightType, kvType, contextLength: context + STEPS_A_ROUND, batch });
const runner = new ModelRunner(model);
const blocksEach = numBlocksFor(context + STEPS_A_ROUND);
const blockIdsOf = (row: number) => Array.from({ length: blocksEach }, (_, i) => row * blocksEach + i);

/** New tokens of every sequence at a position. */
function chunksAt(startPos: number, ids: readonly Int32Array[], logits: Chunk['logits']): Chunk[] {
  return ids.map((rowIds, row) => ({ ids: rowIds, startPos, blockIds: blockIdsOf(row), logits }));
}

/** Some steps from the same position, with the time of the fastest step and of the kernels in it. */
async function decodeSteps(): Promise<Sample> {
  let ids = Array.from({ length: batch }, (_, row) => Int32Array.of(row));
  let fastest: Sample = { seconds: Infinity };
  backend.profile();
  for (let i = 0; i < STEPS_A_ROUND; i++) {
    const startMs = performance.now();
    const logits = await runner.run(chunksAt(context + i, ids, 'last'));
    ids = logits.map((row) => Int32Array.of(mostLikely(row)));
    const seconds = (performance.now() - startMs) / 1000;
    const profile = backend.profile();
    const inKernels = profile.reduce((sum, { seconds: time }) => sum + time, 0);
    const inProducts = profile.find(({ op }) => op === 'matmul')!.seconds;
    // The first step of a round wakes the threads up.
    if (i > 0 && seconds < fastest.seconds) fastest = { seconds, inKernels, inProducts };
  }
  return fastest;
}

const prompt = Int32Array.from({ length: context }, (_, i) => (i * 7919) % config.vocabSize);
for (let row = 0; row < batch; row++) {
  await runner.run([{ ids: prompt, startPos: 0, blockIds: blockIdsOf(row), logits: 'none' }]);
}
const contenders: Contender[] = [
  { name: 'decode', measure: decodeSteps },
  { name: 'read', measure: async () => ({ seconds: 1 / (await backend.probe('readBandwidth', PROBE_BYTES)) }) },
];
const [decode, read] = await interleave(contenders, { rounds: Number(flags.rounds), warmups: 2 });
const best = decode!.samples.toSorted((a, b) => a.seconds - b.seconds)[0]!;
const bytes = decodeBytes(
  model,
  Array.from({ length: batch }, () => context),
);
const report = {
  size: flags.size,
  weights: weightType,
  kv: kvType,
  isa: backend.isa,
  threads: backend.threads,
  context,
  batch,
  bytesPerStep: bytes,
  msPerStep: best.seconds * 1e3,
  tokensPerSecond: batch / best.seconds,
  gigabytesPerSecond: bytes / best.seconds / 1e9,
  limitGigabytesPerSecond: 1 / read!.minSeconds / 1e9,
  shareOfBandwidth: (bytes / best.seconds) * read!.minSeconds,
  shareOfBandwidthMedians: (bytes / decode!.medianSeconds) * read!.medianSeconds,
  shareOutsideKernels: 1 - best['inKernels']! / best.seconds,
  shareInProducts: best['inProducts']! / best.seconds,
};
if (flags.json) console.log(JSON.stringify(report));
else {
  console.log(renderMachine(machine()));
  for (const [name, value] of Object.entries(report)) {
    console.log(`${name.padEnd(26)}${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`);
  }
  await decodeSteps();
  await runner.run(chunksAt(context, [Int32Array.of(0)], 'last'));
  console.log(`\none step:\n${renderProfile(backend.profile())}`);
}

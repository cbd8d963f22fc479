/**
 * How well and how fast the `nano` recipe learns: everything `npm start` does before the first prompt, from raw text to a trained model, for
 * several seeds. Prints held-out bits per byte, the time from start to end, and processor time, which a busy machine does not distort.
 *
 *   npx tsx bench/learning.ts [--recipe nano] [--seeds 1,2,3] [--set key=value]... [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createNativeBackend } from '../src/runtime/native.ts';
import { applySetting, checkConfig } from '../src/train/overrides.ts';
import { pretrain } from '../src/train/pretrain.ts';
import { type PretrainConfig, pretrainSchema } from '../src/train/pretrain-config.ts';
import { recipe } from '../src/train/recipes.ts';
import type { TrainEvent } from '../src/train/train-event.ts';
import { machine, renderMachine } from './machine.ts';

interface Result {
  readonly seed: number;
  readonly bitsPerByte: number;
  readonly natsPerToken: number;
  readonly numParameters: number;
  readonly numTokens: number;
  readonly seconds: number;
  /** Of all threads together. */
  readonly processorSeconds: number;
}

async function learn(config: PretrainConfig): Promise<Result> {
  const out = mkdtempSync(join(tmpdir(), 'cria-learning-'));
  const seen: { evaluation: Readonly<Record<string, number>>; numParameters: number } = {
    evaluation: {},
    numParameters: 0,
  };
  const watch = (event: TrainEvent): void => {
    if (event.kind === 'start') seen.numParameters = event.numParameters;
    if (event.kind === 'step') seen.evaluation = event.evaluation ?? seen.evaluation;
  };
  const [startMs, startUsage] = [performance.now(), process.cpuUsage()];
  try {
    const backend = createNativeBackend();
    const input = { config, out, isResumed: false, backend, peakFlops: null, watch, signal: null };
    const { numTokens } = await pretrain({ ...input, now: () => performance.now() });
    const { user, system } = process.cpuUsage(startUsage);
    return {
      seed: config.seed,
      bitsPerByte: seen.evaluation.bits_per_byte!,
      natsPerToken: seen.evaluation.loss!,
      numParameters: seen.numParameters,
      numTokens,
      seconds: (performance.now() - startMs) / 1000,
      processorSeconds: (user + system) / 1e6,
    };
  } finally {
    rmSync(out, { recursive: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      recipe: { type: 'string', default: 'nano' },
      seeds: { type: 'string', default: '1,2,3' },
      set: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  });
  const changed = values.set.reduce(applySetting, recipe(values.recipe) as Readonly<Record<string, unknown>>);
  const config = checkConfig(pretrainSchema, changed, 'bench');
  const results: Result[] = [];
  for (const seed of values.seeds.split(',').map(Number)) results.push(await learn({ ...config, seed }));
  if (values.json) return console.log(JSON.stringify({ machine: machine(), recipe: values.recipe, results }));
  console.log(renderMachine(machine()));
  const [{ numParameters, numTokens }] = results as [Result];
  console.log(
    `${values.recipe}: ${(numParameters / 1e6).toFixed(2)} M parameters, ${(numTokens / 1e6).toFixed(2)} M tokens`,
  );
  console.log('seed  bits/byte  nats/token  seconds  processor seconds');
  for (const { seed, bitsPerByte, natsPerToken, seconds, processorSeconds } of results) {
    const cells = [bitsPerByte.toFixed(3), natsPerToken.toFixed(3), seconds.toFixed(0), processorSeconds.toFixed(0)];
    console.log(`${String(seed).padStart(4)}  ${cells.map((cell, i) => cell.padStart([9, 10, 7, 17][i]!)).join('  ')}`);
  }
}

await main();

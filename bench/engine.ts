/**
 * What the engine adds to the kernels, on random weights of a model size: time to the first token of a prompt seen before beside one not seen,
 * what the prefix cache costs where it never helps, the longest gap between tokens of streams while long prompts arrive, and the time to choose
 * tokens of a vocabulary of Llama 3.
 *
 *   npx tsx bench/engine.ts [--size smollm2-135m] [--weights f32] [--rounds N]
 */
import { parseArgs } from 'node:util';
import { Engine } from '../src/infer/engine.ts';
import type { Generation } from '../src/infer/generation.ts';
import { randomModel } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { sampleToken } from '../src/infer/sampler.ts';
import { DEFAULT_SAMPLING } from '../src/infer/sampling-params.ts';
import { logprobsOf } from '../src/infer/token-logprobs.ts';
import { touchCache } from '../src/infer/touch-cache.ts';
import { WEIGHT_TYPES } from '../src/infer/weight-type.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { fillNormal, integer, randomStream } from '../src/util/rng.ts';
import { machine, renderMachine } from './machine.ts';

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: 'smollm2-135m' },
    weights: { type: 'string', default: 'f32' },
    rounds: { type: 'string', default: '3' },
  },
});
const rounds = Number(flags.rounds);
const weightType = WEIGHT_TYPES.find((type) => type === flags.weights)!;
const config = sizeConfig(flags.size);
const kvType = weightType === 'f32' ? 'f32' : 'f16';
const model = randomModel(config, createNativeBackend(), { weightType, kvType, contextLength: 2048, batch: 6 });
await touchCache(model);
const GREEDY = { temperature: 0 };
let numPrompts = 0;

function freshPrompt(length: number): number[] {
  const stream = randomStream(numPrompts++, 'prompt');
  return Array.from({ length }, (_, i) => integer(stream, i, config.vocabSize));
}

async function firstTokenMs(engine: Engine, promptIds: readonly number[]): Promise<number> {
  const startedAt = performance.now();
  const generation = engine.generate({ promptIds, maxTokens: 1, sampling: GREEDY, stopIds: [] });
  await generation.result;
  return performance.now() - startedAt;
}

async function prefix(): Promise<void> {
  const engines = [true, false].map((prefixCache) => new Engine(new ModelRunner(model), null, { prefixCache }));
  const [cached, plain] = engines as [Engine, Engine];
  let [unseen, seen, without] = [Infinity, Infinity, Infinity];
  for (let round = 0; round <= rounds; round++) {
    const promptIds = freshPrompt(512);
    const times = [await firstTokenMs(cached, promptIds), await firstTokenMs(cached, promptIds)] as const;
    const timeWithout = await firstTokenMs(plain, freshPrompt(512));
    if (round === 0) continue; // compiles the plans
    unseen = Math.min(unseen, times[0]);
    seen = Math.min(seen, times[1]);
    without = Math.min(without, timeWithout);
  }
  print('first token of 512, not seen before', `${unseen.toFixed(1)} ms`);
  print('first token of 512, seen before', `${seen.toFixed(1)} ms, ${(unseen / seen).toFixed(1)} x faster`);
  print('prefix cache without a hit', `${((unseen / without - 1) * 100).toFixed(1)} % slower than none`);
}

/** Gaps between the tokens of a stream. */
async function gapsOf(generation: Generation): Promise<number[]> {
  const gaps: number[] = [];
  let last: number | null = null;
  for await (const { id } of generation) {
    if (id === null) continue;
    const now = performance.now();
    if (last !== null) gaps.push(now - last);
    last = now;
  }
  return gaps;
}

async function mixedLoad(): Promise<void> {
  const engine = new Engine(new ModelRunner(model), null);
  const streams = Array.from({ length: 4 }, () =>
    gapsOf(engine.generate({ promptIds: freshPrompt(20), maxTokens: 150, sampling: GREEDY, stopIds: [] })),
  );
  const arrivals: number[] = [];
  for (let i = 0; i < 4; i++) arrivals.push(await firstTokenMs(engine, freshPrompt(1000)));
  const gaps = (await Promise.all(streams)).flat().toSorted((a, b) => a - b);
  const at = (share: number) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))]!.toFixed(0);
  print('4 streams beside prompts of 1,000: gap', `median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms`);
  print('first token of those prompts', `${Math.max(...arrivals).toFixed(0)} ms at most`);
}

function choosing(): void {
  const logits = new Float32Array(128_256);
  fillNormal(logits, randomStream(1, 'logits'), { std: 2.5 });
  const neutral = { ...DEFAULT_SAMPLING, temperature: 1, topP: 1 };
  const kinds = {
    greedy: { ...neutral, temperature: 0 },
    'temperature 0.6, top-p 0.9': DEFAULT_SAMPLING,
    'temperature 1': neutral,
    'top-k 50': { ...neutral, topK: 50 },
    'min-p 0.05': { ...neutral, minP: 0.05 },
    'typical-p 0.9': { ...neutral, typicalP: 0.9 },
  };
  const stream = randomStream(1, 'draw');
  for (const [name, params] of Object.entries(kinds)) {
    print(
      `one of 128,256 tokens: ${name}`,
      `${fastestMs((i) => sampleToken(logits, params, stream, i)).toFixed(2)} ms`,
    );
  }
  print('log-probabilities with 20 alternatives', `${fastestMs((i) => logprobsOf(logits, i, 20)).toFixed(2)} ms`);
}

function fastestMs(work: (i: number) => unknown): number {
  let fastest = Infinity;
  for (let i = 0; i < 40; i++) {
    const startedAt = performance.now();
    work(i);
    fastest = Math.min(fastest, performance.now() - startedAt);
  }
  return fastest;
}

function print(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(48)}${value}\n`);
}

process.stdout.write(`${renderMachine(machine())}; ${flags.size} ${flags.weights}\n`);
choosing();
await prefix();
await mixedLoad();

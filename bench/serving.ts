/**
 * What serving adds to the engine, on random weights, with the clients in a process of their own:
 *
 *   overhead  seconds a step of 1 and of 8 streams over HTTP, against the same replies taken from the engine directly, alternately: with
 *             clients that read at the lowest priority on the same cores, and with clients that are stopped, as if they were elsewhere
 *   lateness  how late a 1 ms timer of the server is while 8 streams run
 *   prefix    time to the first token of a prompt of 512 tokens, seen before or not
 *   mixed     longest pause of 4 streams while prompts of 1,000 tokens arrive
 *   peer      8 streams over HTTP against 8 sequences in llama.cpp, alternately, both on the file --model (bench/peers/README.md)
 *
 *   npx tsx bench/serving.ts [--shape llama3.2-1b] [--quant q4] [--model FILE.gguf] [--parts overhead,prefix,mixed] [--rounds 3] [--json]
 */
import { availableParallelism } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { WeightType } from '../src/infer/weight-type.ts';
import type { ServedModel } from '../src/server/served-model.ts';
import { UsageError } from '../src/util/errors.ts';
import { integer, randomStream } from '../src/util/rng.ts';
import { interleave, median, type Sample, speedRatio, type Timing } from './interleave.ts';
import { LineProcess } from './line-process.ts';
import { machine, renderMachine } from './machine.ts';
import type { LlamaSettings } from './peers/llama-contender.ts';
import type { ClientStream, StreamTimes } from './serving-client.ts';
import { fileWeights, openStand, randomWeights, type Stand, type Step } from './serving-stand.ts';
import { BATCH, type Room } from './workloads.ts';

const SHORT_PROMPT = 16;
const TIMED_TOKENS = 64;

let numPrompts = 0;

/** Tokens nobody has asked about before. */
function freshPrompt(length: number, { model }: ServedModel): number[] {
  const random = randomStream(numPrompts++, 'prompt');
  return Array.from({ length }, (_, i) => integer(random, i, model.config.vocabSize));
}

function bodyOf(prompt: readonly number[], maxTokens: number): object {
  return { prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true, stream: true, logprobs: null };
}

async function ask({ client, listening: { url } }: Stand, streams: readonly ClientStream[]): Promise<StreamTimes[]> {
  const times = await client.ask<StreamTimes[]>(JSON.stringify({ url, streams }));
  for (const { status } of times) if (status !== 200) throw new Error(`the server answered ${status}`);
  return times;
}

/** Steps in which so many sequences decode and nothing else happens. */
function decodingSteps({ steps }: Stand, concurrency: number): Step[] {
  return steps.filter((step) => step.numSequences === concurrency && step.numPromptTokens === 0);
}

/** Seconds a step of those. */
function secondsPerStep(at: Stand, concurrency: number): number {
  const alike = decodingSteps(at, concurrency);
  return (alike.at(-1)!.atMs - alike[0]!.atMs) / 1000 / (alike.length - 1);
}

async function overHttp(at: Stand, prompts: readonly number[][]): Promise<number> {
  at.steps.length = 0;
  await ask(
    at,
    prompts.map((prompt) => ({ afterMs: 0, body: bodyOf(prompt, TIMED_TOKENS) })),
  );
  return secondsPerStep(at, prompts.length);
}

/** As `overHttp`, with clients that do nothing while all streams run: what is sent to them waits in the sockets. */
async function overHttpUnread(at: Stand, prompts: readonly number[][]): Promise<number> {
  at.onStep = () => {
    const numDecoding = decodingSteps(at, prompts.length).length;
    const isOver = numDecoding === TIMED_TOKENS - 1 || at.steps.at(-1)!.numSequences < prompts.length;
    if (numDecoding === 1) at.client.suspend();
    if (numDecoding > 0 && isOver) at.client.resume();
  };
  try {
    return await overHttp(at, prompts);
  } finally {
    at.onStep = () => {};
  }
}

async function direct(at: Stand, prompts: readonly number[][]): Promise<number> {
  at.steps.length = 0;
  const options = { maxTokens: TIMED_TOKENS, sampling: { temperature: 0 }, stopIds: [] };
  const replies = prompts.map((promptIds) => at.model.engine.generate({ ...options, promptIds }));
  await Promise.all(replies.map(({ result }) => result));
  return secondsPerStep(at, prompts.length);
}

/** Alternately, so that both meet the same neighbours; compared by the median of the paired ratios and by the minima. */
async function overhead(at: Stand, concurrency: number, rounds: number): Promise<object> {
  const prompts = () => Array.from({ length: concurrency }, () => freshPrompt(SHORT_PROMPT, at.model));
  const seconds: { http: number; unread: number; engine: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const http = await overHttp(at, prompts());
    const engine = await direct(at, prompts());
    const times = { http, engine, unread: await overHttpUnread(at, prompts()) };
    if (round >= 0) seconds.push(times);
  }
  const delay = monitorEventLoopDelay({ resolution: 1 }); // by itself, as its timer takes time from the steps
  delay.enable();
  await overHttp(at, prompts());
  delay.disable();
  const least = (kind: 'http' | 'unread' | 'engine') => Math.min(...seconds.map((one) => one[kind]));
  const [http, unread, engine] = [least('http'), least('unread'), least('engine')];
  return {
    streams: concurrency,
    httpTokensPerSecond: concurrency / http,
    engineTokensPerSecond: concurrency / engine,
    overheadOfMinima: http / engine - 1,
    overheadMedianOfPairs: median(seconds.map((one) => one.http / one.engine)) - 1,
    unreadOverheadOfMinima: unread / engine - 1,
    unreadOverheadMedianOfPairs: median(seconds.map((one) => one.unread / one.engine)) - 1,
    lateMs: { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) },
  };
}

/** How much later than after its millisecond a timer came, ms. */
function late(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - 1);
}

async function prefix(at: Stand, rounds: number): Promise<object> {
  const firstToken = async (prompt: readonly number[]) => {
    const [{ sentMs, pieceMs }] = (await ask(at, [{ afterMs: 0, body: bodyOf(prompt, 2) }])) as [StreamTimes];
    return pieceMs[0]! - sentMs;
  };
  const pairs: { unseen: number; seen: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const prompt = freshPrompt(512, at.model);
    const pair = { unseen: await firstToken(prompt), seen: await firstToken(prompt) };
    if (round >= 0) pairs.push(pair);
  }
  const [unseen, seen] = [Math.min(...pairs.map((pair) => pair.unseen)), Math.min(...pairs.map((pair) => pair.seen))];
  return {
    unseenMs: unseen,
    seenMs: seen,
    timesFaster: unseen / seen,
    medianOfPairs: median(pairs.map((pair) => pair.unseen / pair.seen)),
  };
}

const NUM_STREAMS = 4;

async function mixed(at: Stand): Promise<object> {
  const streams = Array.from({ length: NUM_STREAMS }, () => ({
    afterMs: 0,
    body: bodyOf(freshPrompt(SHORT_PROMPT, at.model), 400),
  }));
  const arrivals = Array.from({ length: 6 }, (_, i) => ({
    afterMs: 500 + 700 * i,
    body: bodyOf(freshPrompt(1000, at.model), 2),
  }));
  const times = await ask(at, [...streams, ...arrivals]);
  const pauses = times
    .slice(0, NUM_STREAMS)
    .map(({ pieceMs }) => Math.max(...pieceMs.slice(1).map((ms, i) => ms - pieceMs[i]!)));
  const firstTokens = times.slice(NUM_STREAMS).map(({ sentMs, pieceMs }) => pieceMs[0]! - sentMs);
  return { longestPauseMs: Math.max(...pauses), firstTokenOfArrivalsMs: firstTokens.map(Math.round) };
}

/** Room for keys and values of eight short sequences. */
const PEER_ROOM: Room = { contextTokens: 512, sequences: BATCH };

/** Tokens a second of eight streams over HTTP, and of eight sequences in llama.cpp. */
async function againstPeer(at: Stand, modelPath: string, rounds: number): Promise<object> {
  const settings: LlamaSettings = { modelPath, threads: availableParallelism(), ...PEER_ROOM };
  const script = fileURLToPath(new URL('peers/llama-contender.ts', import.meta.url));
  const peer = new LineProcess('llama.cpp', process.execPath, ['--import', 'tsx', script, JSON.stringify(settings)]);
  try {
    const prompts = () => Array.from({ length: BATCH }, () => freshPrompt(SHORT_PROMPT, at.model));
    const contenders = [
      { name: 'http', measure: async () => ({ seconds: (await overHttp(at, prompts())) / BATCH }) },
      { name: 'llama.cpp', measure: () => peer.ask<Sample>('batch') },
    ];
    const [http, llama] = await interleave(contenders, { rounds, pauseMs: 50 });
    const { minima, medians } = speedRatio(http!, llama!);
    return { httpTokensPerSecond: rates(http!), llamaTokensPerSecond: rates(llama!), faster: { minima, medians } };
  } finally {
    await peer.close();
  }
}

function rates({ minSeconds, medianSeconds }: Timing): object {
  return { best: 1 / minSeconds, median: 1 / medianSeconds };
}

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'llama3.2-1b' },
    quant: { type: 'string', default: 'q4' },
    model: { type: 'string' },
    parts: { type: 'string', default: 'overhead,prefix,mixed' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const parts = new Set(values.parts.split(','));
const rounds = Number(values.rounds);
const { model, shape, quant } = values;
if (parts.has('peer') && model === undefined) throw new UsageError('the part peer needs --model FILE.gguf');
const at = await openStand(model === undefined ? randomWeights(shape, quant as WeightType) : await fileWeights(model));
const report = {
  ...(model === undefined ? { shape, quant } : { model }),
  ...(parts.has('overhead') ? { one: await overhead(at, 1, rounds), eight: await overhead(at, 8, rounds) } : {}),
  ...(parts.has('prefix') ? { prefix: await prefix(at, rounds) } : {}),
  ...(parts.has('peer') ? { peer: await againstPeer(at, model!, rounds) } : {}),
  ...(parts.has('mixed') ? { mixed: await mixed(at) } : {}),
};
await at.end();
if (!values.json) process.stdout.write(`${renderMachine(machine())}\n`);
process.stdout.write(`${JSON.stringify(report, null, values.json ? 0 : 2)}\n`);

/**
 * llama.cpp through node-llama-cpp as a contender: `node --import tsx llama-contender.ts SETTINGS` (JSON, `LlamaSettings`), then lines
 * `decode` and `prefill` (seconds of one token, and of a prompt of 512), `deep` (seconds of a token behind a long context), `batch` (seconds
 * of a token when eight sequences decode together), `loaded` and `about`. The settings give room enough for what is asked.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Sample, timed } from '../interleave.ts';
import { serveLines } from '../serve-lines.ts';
import { DEEP_TOKENS, PREFILL_TOKENS, type Room, SHORT_PROMPT, TIMED_TOKENS } from '../workloads.ts';
import { loadPeer } from './load-peer.ts';

export interface LlamaSettings extends Room {
  readonly modelPath: string;
  readonly threads: number;
  /** A copy of node-llama-cpp to load instead (llama-copy.ts). */
  readonly packageFolder?: string;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  saveStateToFile(file: string): Promise<unknown>;
  loadStateFromFile(file: string, options: { acceptRisk: true }): Promise<unknown>;
}

interface ContextOptions {
  contextSize: number;
  batchSize: number;
  threads: number;
  sequences: number;
  flashAttention: boolean;
}

interface Llama {
  readonly systemInfo: string;
  loadModel(options: { modelPath: string }): Promise<{
    createContext(options: ContextOptions): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  }>;
}

interface LlamaCpp {
  getLlama(options: { gpu: false; build: 'never'; logLevel: 'disabled'; maxThreads: number }): Promise<Llama>;
}

const settings = JSON.parse(process.argv[2]!) as LlamaSettings;
const { threads, modelPath, packageFolder, contextTokens, sequences } = settings;
const { getLlama } = await loadPeer<LlamaCpp>(
  packageFolder ? path.join(packageFolder, 'dist', 'index.js') : 'node-llama-cpp',
);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled', maxThreads: threads });
const loading = performance.now();
const model = await llama.loadModel({ modelPath });
// Flash attention is the faster one for prompts and short contexts, the plain one behind a long context: each where it is.
const flashAttention = contextTokens < DEEP_TOKENS;
const context = await model.createContext({
  contextSize: contextTokens,
  batchSize: PREFILL_TOKENS,
  threads,
  sequences,
  flashAttention,
});
const loadSeconds = (performance.now() - loading) / 1000;
const together = Array.from({ length: sequences }, () => context.getSequence());
const single = together[0]!;
let deep: AsyncGenerator<number> | null = null;

const tokens = (length: number, shift = 0) => Array.from({ length }, (_, i) => 1000 + ((i * 7919 + shift) % 10_000));

async function prefill(): Promise<Sample> {
  await single.clearHistory();
  return timed(() => single.evaluateWithoutGeneratingNewTokens(tokens(PREFILL_TOKENS)));
}

/** Seconds a token, sampling the likeliest included. */
async function perToken(generated: AsyncGenerator<number>): Promise<Sample> {
  const { seconds } = await timed(async () => {
    for (let i = 0; i < TIMED_TOKENS; i++) await generated.next();
  });
  return { seconds: seconds / TIMED_TOKENS };
}

async function decode(): Promise<Sample> {
  await single.clearHistory();
  const generated = single.evaluate(tokens(SHORT_PROMPT), { temperature: 0 });
  await generated.next();
  const sample = await perToken(generated);
  await generated.return(undefined);
  return sample;
}

/** The sequence behind a long context; as reading it takes minutes it is kept beside the model. */
async function openDeep(): Promise<AsyncGenerator<number>> {
  const state = `${modelPath}.${DEEP_TOKENS}.state`;
  if (existsSync(state)) await single.loadStateFromFile(state, { acceptRisk: true });
  else {
    await single.evaluateWithoutGeneratingNewTokens(tokens(DEEP_TOKENS));
    await single.saveStateToFile(state);
  }
  return single.evaluate(tokens(1), { temperature: 0 });
}

async function decodeDeep(): Promise<Sample> {
  deep ??= await openDeep();
  await deep.next();
  return perToken(deep);
}

async function decodeTogether(): Promise<Sample> {
  await Promise.all(together.map((sequence) => sequence.clearHistory()));
  const all = together.map((sequence, i) => sequence.evaluate(tokens(SHORT_PROMPT, i), { temperature: 0 }));
  await Promise.all(all.map((generated) => generated.next()));
  const samples = await Promise.all(all.map(perToken));
  await Promise.all(all.map((generated) => generated.return(undefined)));
  return { seconds: Math.max(...samples.map(({ seconds }) => seconds)) / sequences };
}

await serveLines({
  loaded: () => ({ seconds: loadSeconds }),
  about: () => ({ systemInfo: llama.systemInfo }),
  decode,
  prefill,
  prefillAnew: prefill, // it keeps nothing for a length
  deep: decodeDeep,
  batch: decodeTogether,
});
process.exit(0); // the addon keeps the event loop alive

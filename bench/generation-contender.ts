/**
 * Our engine as a contender of bench/vs-llama-cpp.ts: `node --import tsx generation-contender.ts SETTINGS` (JSON, `OwnSettings`), then
 * the lines of peers/llama-contender.ts.
 */
import { measureGeneration } from '../src/cli/measure-generation.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { decodeBytes } from '../src/infer/decode-bytes.ts';
import { kvStateNames, type KvType, numBlocksFor } from '../src/infer/kv-cache.ts';
import { type InferenceModel, loadModel } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { mostLikely } from '../src/infer/sampler.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { renderProfile } from '../src/runtime/operator-times.ts';
import { fillNormal, randomStream } from '../src/util/rng.ts';
import { type Sample, timed } from './interleave.ts';
import { serveLines } from './serve-lines.ts';
import { BATCH, DEEP_TOKENS, PREFILL_TOKENS, type Room, SHORT_PROMPT, TIMED_TOKENS } from './workloads.ts';

export interface OwnSettings extends Room {
  /** The GGUF file that the peer runs too. */
  readonly modelPath: string;
  readonly kvType: KvType;
  readonly threads: number;
  readonly isa?: string;
}

const { modelPath, kvType, contextTokens, sequences, ...options } = JSON.parse(process.argv[2]!) as OwnSettings;
const backend = createNativeBackend(options);
const checkpoint = await openCheckpoint(modelPath);
const sizes = { weightType: 'stored', kvType, contextLength: contextTokens, batch: sequences } as const;
const model = await loadModel(checkpoint, backend, sizes);
await checkpoint.close();
const PROMPT = Int32Array.from({ length: PREFILL_TOKENS }, (_, i) => 1000 + ((i * 7919) % 10_000));
const GENERATED = { genTokens: TIMED_TOKENS + 2, promptTokens: SHORT_PROMPT };
/** Keys and values repeat after so many tokens: drawing all of them would take long, and hold them all in f32. */
const FILLED_ROWS = 256;
/** Lives as long as the process, as the peer's context does: plans of steps that were run before are there. */
const runner = new ModelRunner(model);
const blockIds = Array.from({ length: numBlocksFor(contextTokens) }, (_, i) => i);
let isCacheFilled = false;

/** Keys and values as if a long text had been read. */
function fillCache({ states, config: { numLayers } }: InferenceModel): void {
  for (let layer = 0; layer < numLayers; layer++)
    for (const name of Object.values(kvStateNames(layer))) {
      const storage = states.get(name)!;
      const values = new Float32Array(FILLED_ROWS * storage.shape[1]!);
      fillNormal(values, randomStream(layer, name), { std: 1 });
      for (let row = 0; row < storage.shape[0]!; row += FILLED_ROWS)
        storage.writeRows(row, values.subarray(0, (storage.shape[0]! - row) * storage.shape[1]!));
    }
}

/** The likeliest token after new ones at a position. */
async function nextId(ids: Int32Array, startPos: number): Promise<number> {
  const numBlocks = numBlocksFor(startPos + ids.length);
  const [logits] = await runner.run([{ ids, startPos, blockIds: blockIds.slice(0, numBlocks), logits: 'last' }]);
  return mostLikely(logits!);
}

function prefill(): Promise<Sample> {
  return timed(() => nextId(PROMPT, 0));
}

/** As `prefill`, on an engine that has not run a step of this length before. */
async function prefillAnew(): Promise<Sample> {
  const { prefillTps } = await measureGeneration(model, {
    promptTokens: PREFILL_TOKENS,
    genTokens: 4,
    concurrency: 1,
  });
  return { seconds: PREFILL_TOKENS / prefillTps };
}

async function decodeDeep(): Promise<Sample> {
  if (!isCacheFilled) fillCache(model);
  isCacheFilled = true;
  let id = await nextId(Int32Array.of(1), DEEP_TOKENS);
  const { seconds } = await timed(async () => {
    for (let i = 1; i <= TIMED_TOKENS; i++) id = await nextId(Int32Array.of(id), DEEP_TOKENS + i);
  });
  return { seconds: seconds / TIMED_TOKENS };
}

async function decode(concurrency: number): Promise<Sample> {
  const { decodeTps } = await measureGeneration(model, { ...GENERATED, concurrency });
  return { seconds: 1 / decodeTps };
}

/** Bytes of a step, on average over the steps timed. */
function bytesBehind(numTokens: number): number {
  return decodeBytes(model, [numTokens + TIMED_TOKENS / 2]);
}

await serveLines({
  about: () => ({ systemInfo: `${backend.isa}, ${backend.threads} threads` }),
  bytes: () => ({ decode: bytesBehind(SHORT_PROMPT), deep: bytesBehind(DEEP_TOKENS) }),
  decode: () => decode(1),
  prefill,
  prefillAnew,
  deep: decodeDeep,
  batch: () => decode(BATCH),
  profile: () => ({ profile: renderProfile(backend.profile()) }),
});

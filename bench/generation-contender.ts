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
import { createNativeBackend, renderProfile } from '../src/runtime/native.ts';
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
const GENERATED = { genTokens: TIMED_TOKENS + 2, promptTokens: SHORT_PROMPT };
/** Keys and values repeat after so many tokens: drawing all of them would take long, and hold them all in f32. */
const FILLED_ROWS = 256;
let deepRunner: ModelRunner | null = null;

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

async function decodeDeep(): Promise<Sample> {
  if (!deepRunner) fillCache(model);
  deepRunner ??= new ModelRunner(model);
  const runner = deepRunner;
  const blockIds = Array.from({ length: numBlocksFor(DEEP_TOKENS + TIMED_TOKENS + 1) }, (_, i) => i);
  let id = 1;
  const step = async (position: number) => {
    const [logits] = await runner.run([{ ids: Int32Array.of(id), startPos: position, blockIds, logits: 'last' }]);
    id = mostLikely(logits!);
  };
  await step(DEEP_TOKENS);
  const { seconds } = await timed(async () => {
    for (let i = 1; i <= TIMED_TOKENS; i++) await step(DEEP_TOKENS + i);
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
  prefill: async () => {
    const { prefillTps } = await measureGeneration(model, {
      promptTokens: PREFILL_TOKENS,
      genTokens: 4,
      concurrency: 1,
    });
    return { seconds: PREFILL_TOKENS / prefillTps };
  },
  deep: decodeDeep,
  batch: () => decode(BATCH),
  profile: () => ({ profile: renderProfile(backend.profile()) }),
});

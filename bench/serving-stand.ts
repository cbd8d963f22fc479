/**
 * Where bench/serving.ts measures: one model behind the server of cria, its clients in a process of their own, and a record of the engine's steps.
 */
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { Engine } from '../src/infer/engine.ts';
import type { StepReport } from '../src/infer/engine-stats.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { type InferenceModel, loadModel, randomModel, stateBytes } from '../src/infer/model.ts';
import { touchCache } from '../src/infer/touch-cache.ts';
import type { WeightType } from '../src/infer/weight-type.ts';
import type { LlamaConfig } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { listen, type Listening } from '../src/server/serve.ts';
import type { ModelCatalog, ServedModel } from '../src/server/served-model.ts';
import { createCriaServer } from '../src/server/server.ts';
import { ByteTable } from '../src/tokenizer/byte-table.ts';
import { llama3Tokenizer } from '../src/tokenizer/llama3-tokenizer.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { LineProcess } from './line-process.ts';

const ROOM = { contextLength: 2048, batch: 9 };

/** One step of the engine. */
export interface Step {
  readonly atMs: number;
  readonly numSequences: number;
  readonly numPromptTokens: number;
}

export interface Stand {
  /** Steps since it was last emptied. */
  readonly steps: Step[];
  /** Called after each step. */
  onStep: () => void;
  readonly model: ServedModel;
  readonly listening: Listening;
  readonly client: LineProcess;
  end(): Promise<void>;
}

/** Random weights of a model size, with room for the streams of all parts. */
export function randomWeights(shape: string, weightType: WeightType): InferenceModel {
  const config = { ...sizeConfig(shape), maxSeqLen: ROOM.contextLength };
  const kvType = weightType === 'f32' || weightType === 'bf16' ? weightType : 'f16';
  return randomModel(config, createNativeBackend(), { weightType, kvType, ...ROOM });
}

/** The weights of a checkpoint as they are stored, with the same room. */
export async function fileWeights(file: string): Promise<InferenceModel> {
  const checkpoint = await openCheckpoint(file);
  try {
    return await loadModel(checkpoint, createNativeBackend(), { weightType: 'stored', kvType: 'f16', ...ROOM });
  } finally {
    await checkpoint.close();
  }
}

/** Serves the weights on a free port of this machine and starts the process of the clients. */
export async function openStand(weights: InferenceModel): Promise<Stand> {
  await touchCache(weights);
  const at = { steps: [] as Step[], onStep: () => {} };
  const model = servedModel(weights, ({ numSequences, numPromptTokens }) => {
    at.steps.push({ atMs: performance.now(), numSequences, numPromptTokens });
    at.onStep();
  });
  const server = await createCriaServer(catalogOf(model), { registry: { pinned: [MODEL_ID] } });
  const listening = await listen(server.app, { host: '127.0.0.1', port: 0 });
  const clients = fileURLToPath(new URL('serving-client.ts', import.meta.url));
  const client = new LineProcess('clients', process.execPath, ['--import', 'tsx', clients]);
  return Object.assign(at, {
    model,
    listening,
    client,
    end: async () => {
      await client.close();
      await listening.close(0, () => {});
      await server.registry.close();
    },
  });
}

function servedModel(weights: InferenceModel, onStep: (report: StepReport) => void): ServedModel {
  const tokenizer = plainTokenizer(weights.config);
  const engine = new Engine(new ModelRunner(weights), tokenizer, { onStep });
  return {
    engine,
    model: weights,
    tokenizer,
    chatFormat: null,
    filesPath: null,
    stopIds: [],
    maxNumSequences: 16,
    sizeBytes: stateBytes(weights),
    dispose: () => engine.dispose(),
  };
}

/** As many tokens as the model has, each with text of its own. */
function plainTokenizer({ vocabSize }: LlamaConfig): Tokenizer {
  const vocab = new ByteTable(vocabSize);
  for (let byte = 0; byte < 256; byte++) vocab.findOrAddBytes(Uint8Array.of(byte));
  for (let id = 256; id < vocabSize; id++) vocab.findOrAddBytes(new TextEncoder().encode(` ${id.toString(36)}`));
  return llama3Tokenizer(vocab, []);
}

const MODEL_ID = 'model';

/** A catalog of this one model, with only what generation asks of it. */
function catalogOf(model: ServedModel): ModelCatalog {
  const entry = { id: MODEL_ID, path: '', createdAt: new Date(), sizeBytes: 0, digest: '' };
  return {
    list: async () => [entry],
    find: async () => entry,
    load: async () => model,
  } as unknown as ModelCatalog;
}

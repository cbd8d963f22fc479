/**
 * From a model's name to an engine that answers, with its tokenizer and chat format: one call for programs.
 */
import { openCheckpoint } from '../formats/open-checkpoint.ts';
import type { LlamaConfig } from '../model/config.ts';
import { openBackend } from '../runtime/open-backend.ts';
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { Engine, type EngineOptions } from './engine.ts';
import type { KvType } from './kv-cache.ts';
import { loadModel } from './model.ts';
import { checkpointChatFormat, modelPath, replyStopIds, requireTokenizer } from './model-files.ts';
import { ModelRunner } from './model-runner.ts';
import { cachePlaces } from './packed-cache.ts';
import { touchCache } from './touch-cache.ts';
import type { WeightType } from './weight-type.ts';

export interface LoadEngineOptions extends EngineOptions {
  /** Type of the weights in memory; `stored` (the default): as the files have them. */
  readonly weightType?: WeightType | 'stored';
  /** Type of keys and values; by default as exact as the weights. */
  readonly kvType?: KvType | null;
  /** Longest prompt and reply together in tokens; by default 8,192, or what the model can take. */
  readonly contextLength?: number;
  /** So many sequences of that length fit in memory at once; by default 1. */
  readonly parallel?: number;
  /** `native` or `reference`; by default what CRIA_BACKEND says, else the fastest that works here. */
  readonly backend?: 'native' | 'reference';
  readonly onProgress?: (share: number) => void;
  /** Told in one line what a person should know. */
  readonly onNotice?: (line: string) => void;
}

/** A model that answers. */
export interface LoadedEngine {
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  /** How the model was taught to converse; null if its files do not say. */
  readonly chatFormat: ChatFormat | null;
  /** For requests: the tokens that end a reply. */
  readonly stopIds: readonly number[];
  readonly config: LlamaConfig;
  readonly contextLength: number;
  /** Cancels what runs and gives memory back. */
  dispose(): Promise<void>;
}

const DEFAULT_CONTEXT = 8192;

/**
 * Loads a folder, a .gguf file, a training run or a Hugging Face id that was pulled. Throws FormatError where the files are wrong, and
 * CapacityError where memory does not suffice.
 * @example
 * const { engine, tokenizer, stopIds, dispose } = await loadEngine('models/llama');
 * const promptIds = tokenizer.encode('Once upon a time', { bos: true });
 * for await (const { text } of engine.generate({ promptIds, stopIds, maxTokens: 50 })) process.stdout.write(text);
 * await dispose();
 */
export async function loadEngine(model: string, options: LoadEngineOptions = {}): Promise<LoadedEngine> {
  const { weightType = 'stored', kvType = null, contextLength, parallel = 1, backend, ...rest } = options;
  const { onProgress = () => {}, onNotice = () => {}, ...engineOptions } = rest;
  const checkpoint = await openCheckpoint(await modelPath(model, process.env));
  try {
    const { config } = checkpoint;
    const tokenizer = await requireTokenizer(checkpoint);
    const chatFormat = await checkpointChatFormat(checkpoint, tokenizer);
    const sizes = {
      weightType,
      kvType,
      contextLength: contextLength ?? Math.min(DEFAULT_CONTEXT, config.maxSeqLen),
      batch: parallel,
    };
    const hooks = { onProgress, onNotice, cachePlaces: cachePlaces(process.env) };
    const loaded = await loadModel(checkpoint, openBackend(onNotice, backend), sizes, hooks);
    if (parallel > 1) await touchCache(loaded);
    const engine = new Engine(new ModelRunner(loaded), tokenizer, engineOptions);
    return {
      engine,
      tokenizer,
      chatFormat,
      stopIds: replyStopIds(checkpoint, tokenizer),
      config,
      contextLength: loaded.contextLength,
      dispose: () => engine.dispose(),
    };
  } finally {
    await checkpoint.close();
  }
}

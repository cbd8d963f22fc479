/**
 * For tests and benches: a catalog of one small model of random weights with a tokenizer of 256 bytes, a few words and Llama 3's special tokens.
 */
import { Engine, type EngineOptions } from '../infer/engine.ts';
import { ModelRunner } from '../infer/model-runner.ts';
import { stateBytes } from '../infer/model.ts';
import { testBackends, TOY_CONFIG, toyModel } from '../infer/toy-model.ts';
import { ByteTable } from '../tokenizer/byte-table.ts';
import { llama3ChatFormat } from '../tokenizer/chat-llama3.ts';
import { llama3Tokenizer } from '../tokenizer/llama3-tokenizer.ts';
import { TRAINED_SPECIAL_TOKENS } from '../tokenizer/special-tokens.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { utf8Encode } from '../tokenizer/utf8.ts';
import { RequestError } from '../util/errors.ts';
import type { ModelCatalog, ModelDetails, ModelEntry, PullProgress, ServedModel } from './served-model.ts';

const WORDS = ['the', ' the', ' llama', ' hay', ' and', ' weather', 'name', 'parameters', '": "', ' é', '日本'];

/** Encodes any text; most of it byte by byte. */
export function toyTokenizer(): Tokenizer {
  const vocab = new ByteTable(512);
  for (let byte = 0; byte < 256; byte++) vocab.findOrAddBytes(Uint8Array.of(byte));
  for (const word of WORDS) vocab.findOrAddBytes(utf8Encode(word));
  return llama3Tokenizer(vocab, TRAINED_SPECIAL_TOKENS);
}

export interface ToyOptions {
  readonly id?: string;
  readonly model?: Parameters<typeof toyModel>[1];
  readonly engine?: EngineOptions;
  /** Continues text instead of answering. */
  readonly isBase?: boolean;
  /** Awaited before a model is there. */
  readonly whileLoading?: () => Promise<void>;
  readonly backend?: string;
  /** A folder with the same tokenizer, for threads. */
  readonly filesPath?: string | null;
}

/** The catalog; `removed` and `loads` tell what happened. */
export interface ToyCatalog extends ModelCatalog {
  readonly removed: string[];
  readonly loads: { count: number };
  readonly disposals: { count: number };
}

const TOY_ENTRY = { createdAt: new Date('2026-01-02T03:04:05Z'), sizeBytes: 1234, digest: 'ab12' };

const TOY_DETAILS: ModelDetails = {
  format: 'toy',
  family: 'llama',
  numParameters: 100_000,
  quantisation: 'F32',
  contextLength: TOY_CONFIG.maxSeqLen,
  dim: TOY_CONFIG.dim,
  chatTemplate: null,
  metadata: {},
};

/** A catalog with the toy model under one id; pulling any id pretends to download it. */
export function toyCatalog(options: ToyOptions = {}): ToyCatalog {
  const entries = new Map<string, ModelEntry>();
  const add = (id: string) => entries.set(id, { ...TOY_ENTRY, id, path: `/models/${id}` });
  add(options.id ?? 'toy');
  const [removed, loads, disposals] = [[] as string[], { count: 0 }, { count: 0 }];
  return {
    removed,
    loads,
    disposals,
    list: async () => [...entries.values()],
    find: async (id) => entries.get(id) ?? null,
    details: async () => TOY_DETAILS,
    load: async (_, onProgress) => {
      loads.count++;
      onProgress(0.5);
      await options.whileLoading?.();
      return toyServedModel(options, () => disposals.count++);
    },
    pull: async (id, onProgress: (progress: PullProgress) => void) => {
      if (!id.includes('/')) throw new RequestError(404, `${id}: no such model`);
      for (const doneBytes of [0, 50, 100]) onProgress({ file: 'model.safetensors', doneBytes, totalBytes: 100 });
      add(id);
    },
    isRemovable: ({ id }) => id !== (options.id ?? 'toy'),
    remove: async ({ id }) => {
      removed.push(id);
      entries.delete(id);
    },
  };
}

const CONTEXT = 256;

/** The model alone. */
function toyServedModel(
  { model: sizes, engine: limits = {}, isBase, backend, filesPath = null }: ToyOptions = {},
  onDispose: () => void = () => {},
): ServedModel {
  const tokenizer = toyTokenizer();
  const backends = [...testBackends()];
  const makeBackend =
    backend === undefined ? backends[backends.length > 1 ? 1 : 0]![1] : new Map(backends).get(backend)!;
  const { contextLength = CONTEXT } = sizes ?? {};
  const config = {
    ...TOY_CONFIG,
    vocabSize: tokenizer.vocabSize,
    maxSeqLen: Math.max(TOY_CONFIG.maxSeqLen, contextLength),
  };
  const model = toyModel(makeBackend(), { contextLength, batch: 4, ...sizes }, config);
  const engine = new Engine(new ModelRunner(model), tokenizer, limits);
  return {
    engine,
    model,
    tokenizer,
    chatFormat: isBase ? null : llama3ChatFormat(tokenizer, 'llama3.1'),
    filesPath,
    stopIds: tokenizer.stopIds,
    maxNumSequences: limits.maxNumSequences ?? 16,
    sizeBytes: stateBytes(model),
    dispose: async () => {
      onDispose();
      await engine.dispose();
    },
  };
}

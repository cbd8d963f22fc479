/**
 * MODEL on the command line: finds the checkpoint it means, opens it with its tokenizer, and loads it once its sizes are known.
 * The flags that all commands with a model share are defined here.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { KV_TYPES } from '../infer/kv-cache.ts';
import type { InferenceModel } from '../infer/model.ts';
import { checkpointChatFormat, modelPath, replyStopIds, requireTokenizer } from '../infer/model-files.ts';
import { WEIGHT_TYPES, type WeightType } from '../infer/weight-type.ts';
import type { LlamaConfig } from '../model/config.ts';
import type { Backend } from '../runtime/backend.ts';
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError, UsageError } from '../util/errors.ts';
import { type CommandIo, logLine } from './io.ts';
import { nanoFolder } from './nano-folder.ts';

export interface ModelFlags {
  readonly precision: string;
  readonly kv?: string;
  readonly context?: string;
  readonly backend?: string;
  /** False after --no-cache. */
  readonly cache?: boolean;
}

/** Adds --precision, --kv, --context, --backend and --no-cache. */
export function addModelFlags(command: Command, precision: 'auto' | WeightType = 'auto'): Command {
  return command
    .option(
      '--precision <type>',
      `type of the weights: ${WEIGHT_TYPES.join(', ')}, or auto: as they were saved, exactly where that can be`,
      precision,
    )
    .option(
      '--kv <type>',
      `type of keys and values in memory: ${KV_TYPES.join(', ')}; by default that of the weights, f16 if they are quantised`,
    )
    .option('--context <tokens>', 'longest prompt and reply together')
    .option('--backend <name>', 'native or reference; by default the fastest that works here')
    .option(
      '--no-cache',
      'neither use nor keep packed weights of quantised models (folder: CRIA_CACHE, else beside the model)',
    );
}

/** What is to be loaded, and who is told the share of the weights that is there. */
export interface LoadSizes {
  readonly wantedContext: number;
  readonly batch: number;
  readonly backend?: Backend;
  readonly onProgress?: (share: number) => void;
}

/** A checkpoint whose weights are not yet loaded. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint;
  /** The tokenizer that lies with the weights; throws FormatError if there is none. */
  loadTokenizer(): Promise<Tokenizer>;
  /** How the checkpoint says that conversations are written; null if it does not say. */
  chatFormat(tokenizer: Tokenizer): Promise<ChatFormat | null>;
  /** Loads the weights, on a backend that is there already if one is given; `contextLength` is what --context says, or as many tokens as asked for that the model can take. */
  load(sizes: LoadSizes): Promise<InferenceModel>;
  close(): Promise<void>;
}

/** Opens MODEL: a folder, a .gguf file, the folder of a training run, `nano`, or a Hugging Face id that was pulled. */
export async function openModel(name: string, flags: ModelFlags, io: CommandIo): Promise<OpenedModel> {
  const [{ openCheckpoint }, { loadModel }, { cachePlaces }] = await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../infer/model.ts'),
    import('../infer/packed-cache.ts'),
  ]);
  const weightFlag = choice('--precision', flags.precision, ['auto', ...WEIGHT_TYPES]);
  const kvFlag = flags.kv === undefined ? null : choice('--kv', flags.kv, KV_TYPES);
  const checkpoint = await openCheckpoint(await checkpointPath(name, io));
  const weightType = weightFlag === 'auto' ? 'stored' : weightFlag;
  return {
    checkpoint,
    loadTokenizer: () => requireTokenizer(checkpoint),
    chatFormat: (tokenizer) => checkpointChatFormat(checkpoint, tokenizer),
    load: async ({ wantedContext, batch, backend: shared, onProgress = () => {} }) => {
      const backend = shared ?? (await chooseBackend(flags, io));
      const contextLength = contextOf(flags, checkpoint.config, wantedContext);
      const show = progressOn(io);
      return loadModel(
        checkpoint,
        backend,
        { weightType, kvType: kvFlag, contextLength, batch },
        {
          onProgress: (share) => {
            show(share);
            onProgress(share);
          },
          onNotice: (line) => logLine(io, line),
          cachePlaces: flags.cache === false ? null : cachePlaces(io.env),
        },
      );
    },
    close: () => checkpoint.close(),
  };
}

/** The backend that --backend or CRIA_BACKEND names, else the fastest. */
export async function chooseBackend(flags: { readonly backend?: string }, io: CommandIo): Promise<Backend> {
  const { openBackend } = await import('../runtime/open-backend.ts');
  return openBackend((line) => logLine(io, line), flags.backend ?? io.env['CRIA_BACKEND'] ?? null);
}

/** A flag's value, if it is one of `known`; else a UsageError that lists them. */
export function choice<const T extends string>(flag: string, value: string, known: readonly T[]): T {
  if ((known as readonly string[]).includes(value)) return value as T;
  throw new UsageError(`${flag} must be one of ${known.join(', ')}, got ${value}`);
}

/** A flag's value as a whole number of at least `least`; else a UsageError. */
export function wholeNumber(flag: string, value: string, least: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= least && Number.isSafeInteger(number)) return number;
  throw new UsageError(`${flag} must be a whole number from ${least}, got ${value}`);
}

/** A flag's value as a number; else a UsageError. */
export function decimalNumber(flag: string, value: string): number {
  const number = Number(value);
  if (value.trim() !== '' && Number.isFinite(number)) return number;
  throw new UsageError(`${flag} must be a number, got ${value}`);
}

/** Where MODEL lies: a folder, a .gguf file, the newest checkpoint of a training run, `nano`, or a Hugging Face id that was pulled. */
export async function checkpointPath(name: string, io: CommandIo): Promise<string> {
  const path = name === 'nano' ? nanoFolder(io.env) : name;
  if (name === 'nano' && !existsSync(path)) {
    throw new FormatError('nano is not trained yet; run npm start, which trains it in a few minutes');
  }
  return modelPath(path, io.env);
}

/** Tokens after which a reply ends, as tokenizer or checkpoint say. */
export function stopIdsOf({ checkpoint }: OpenedModel, tokenizer: Tokenizer): number[] {
  return replyStopIds(checkpoint, tokenizer);
}

function contextOf({ context }: ModelFlags, { maxSeqLen }: LlamaConfig, wanted: number): number {
  return context === undefined ? Math.min(wanted, maxSeqLen) : wholeNumber('--context', context, 1);
}

/** A line that is rewritten while weights load, where a person watches. */
function progressOn({ stderr }: CommandIo): (share: number) => void {
  if (!stderr.isTTY) return () => {};
  return (share) => stderr.write(share < 1 ? `\rloading ${Math.floor(100 * share)} %` : '\r\u001b[K');
}

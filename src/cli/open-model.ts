/**
 * MODEL on the command line: finds the checkpoint it means, opens it with its tokenizer, and loads it once its sizes are known.
 * The flags that all commands with a model share are defined here.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { KV_TYPES } from '../infer/kv-cache.ts';
import type { InferenceModel } from '../infer/model.ts';
import { WEIGHT_TYPES, type WeightType } from '../infer/weight-type.ts';
import type { LlamaConfig } from '../model/config.ts';
import type { Backend } from '../runtime/backend.ts';
import type { ChatFormat } from '../tokenizer/chat-message.ts';
import { END_OF_MESSAGE } from '../tokenizer/special-tokens.ts';
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

/** A checkpoint whose weights are not yet loaded. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint;
  /** The tokenizer that lies with the weights; throws FormatError if there is none. */
  loadTokenizer(): Promise<Tokenizer>;
  /** How the checkpoint says that conversations are written; null if it does not say. */
  chatFormat(tokenizer: Tokenizer): Promise<ChatFormat | null>;
  /** Loads the weights; `contextLength` is what --context says, or as many tokens as asked for that the model can take. */
  load(sizes: { wantedContext: number; batch: number }): Promise<InferenceModel>;
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
    loadTokenizer: () => tokenizerOf(checkpoint),
    chatFormat: (tokenizer) => chatFormatOf(checkpoint, tokenizer),
    load: async ({ wantedContext, batch }) => {
      const backend = await chooseBackend(flags, io);
      const contextLength = contextOf(flags, checkpoint.config, wantedContext);
      return loadModel(
        checkpoint,
        backend,
        { weightType, kvType: kvFlag, contextLength, batch },
        {
          onProgress: progressOn(io),
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
  const checkpoints = join(path, 'checkpoints');
  if (existsSync(checkpoints)) return newestStep(path, checkpoints);
  const { findModel } = await import('../formats/find-model.ts');
  return findModel(path, io.env);
}

/** The newest checkpoint of a training run. */
async function newestStep(run: string, checkpoints: string): Promise<string> {
  const names = await readdir(checkpoints);
  const steps = names.flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  if (steps.length > 0) return join(checkpoints, `step-${Math.max(...steps)}`);
  throw new FormatError(`${run}: is a training run without a checkpoint yet; wait for the first one`);
}

/** Tokens after which a reply ends, as tokenizer or checkpoint say. */
export function stopIdsOf({ checkpoint }: OpenedModel, tokenizer: Tokenizer): number[] {
  return [...new Set([...tokenizer.stopIds, ...checkpoint.tokenIds.eosIds])];
}

async function tokenizerOf(checkpoint: Checkpoint): Promise<Tokenizer> {
  const { checkpointTokenizer } = await import('../formats/convert-tokenizer.ts');
  const tokenizer = await checkpointTokenizer(checkpoint);
  if (tokenizer === null)
    throw new FormatError(`${checkpoint.path}: has no tokenizer; put its files beside the weights`);
  return tokenizer;
}

async function chatFormatOf(checkpoint: Checkpoint, tokenizer: Tokenizer): Promise<ChatFormat | null> {
  const [{ chatTemplateOf }, { templateChatFormat }] = await Promise.all([
    import('../formats/convert-tokenizer.ts'),
    import('../tokenizer/chat-template.ts'),
  ]);
  const template = await chatTemplateOf(checkpoint);
  return template === null ? null : templateChatFormat(tokenizer, template);
}

/** Llama 3's own chat format, for a checkpoint that does not say that it knows one: of 3.1 if the vocabulary has its tokens. */
export async function assumedChatFormat(tokenizer: Tokenizer): Promise<ChatFormat> {
  const { llama3ChatFormat } = await import('../tokenizer/chat-llama3.ts');
  return llama3ChatFormat(tokenizer, tokenizer.idOf(END_OF_MESSAGE) === null ? 'llama3' : 'llama3.1');
}

function contextOf({ context }: ModelFlags, { maxSeqLen }: LlamaConfig, wanted: number): number {
  return context === undefined ? Math.min(wanted, maxSeqLen) : wholeNumber('--context', context, 1);
}

/** A line that is rewritten while weights load, where a person watches. */
function progressOn({ stderr }: CommandIo): (share: number) => void {
  if (!stderr.isTTY) return () => {};
  return (share) => stderr.write(share < 1 ? `\rloading ${Math.floor(100 * share)} %` : '\r\u001b[K');
}

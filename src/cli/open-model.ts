/**
 * MODEL on the command line: finds the checkpoint it means, opens it with its tokenizer, and loads it once its sizes are known.
 * The flags that all commands with a model share are defined here.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { KV_TYPES, type KvType } from '../infer/kv-cache.ts';
import type { InferenceModel, ModelOptions } from '../infer/model.ts';
import type { Backend } from '../runtime/backend.ts';
import type { Precision } from '../tensor/operators.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { FormatError, UsageError } from '../util/errors.ts';
import { type CommandIo, logLine } from './io.ts';
import { nanoFolder } from './nano-folder.ts';

export interface ModelFlags {
  readonly precision: string;
  readonly kv?: string;
  readonly context?: string;
  readonly backend?: string;
}

/** Adds --precision, --kv, --context and --backend. */
export function addModelFlags(command: Command): Command {
  return command
    .option('--precision <type>', 'f32, bf16, or auto: as the checkpoint was saved', 'auto')
    .option(
      '--kv <type>',
      `type of keys and values in memory: ${KV_TYPES.join(', ')}; by default that of the precision`,
    )
    .option('--context <tokens>', 'longest prompt and reply together')
    .option('--backend <name>', 'native or reference; by default the fastest that works here');
}

/** A checkpoint whose weights are not yet loaded. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint;
  readonly precision: Precision;
  /** The tokenizer that lies with the weights; throws FormatError if there is none. */
  loadTokenizer(): Promise<Tokenizer>;
  /** Loads the weights; `contextLength` is what --context says, or as many tokens as asked for that the model can take. */
  load(sizes: { wantedContext: number; batch: number }): Promise<InferenceModel>;
  close(): Promise<void>;
}

/** Opens MODEL: a folder, a .gguf file, the folder of a training run, or `nano`. */
export async function openModel(name: string, flags: ModelFlags, io: CommandIo): Promise<OpenedModel> {
  const [{ openCheckpoint }, { loadModel }] = await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../infer/model.ts'),
  ]);
  const precisionFlag = choice('--precision', flags.precision, ['auto', 'f32', 'bf16'] as const);
  const kvFlag = flags.kv === undefined ? null : choice('--kv', flags.kv, KV_TYPES);
  const checkpoint = await openCheckpoint(await checkpointPath(name, io));
  const precision = precisionFlag === 'auto' ? storedPrecision(checkpoint) : precisionFlag;
  return {
    checkpoint,
    precision,
    loadTokenizer: () => tokenizerOf(checkpoint),
    load: async ({ wantedContext, batch }) => {
      const backend = await chooseBackend(flags, io);
      const options = modelOptions(flags, kvFlag ?? precision, precision, checkpoint, wantedContext, batch);
      return loadModel(checkpoint, backend, options, progressOn(io));
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

async function checkpointPath(name: string, io: CommandIo): Promise<string> {
  const path = name === 'nano' ? nanoFolder(io.env) : name;
  const newest = await newestStep(join(path, 'checkpoints'));
  return newest ?? path;
}

/** The newest checkpoint that a training run keeps in a folder; null if there is none. */
async function newestStep(folder: string): Promise<string | null> {
  const names = await readdir(folder).catch(() => []);
  const steps = names.flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return steps.length === 0 ? null : join(folder, `step-${Math.max(...steps)}`);
}

function storedPrecision({ weights }: Checkpoint): Precision {
  return weights.tensors.get('layers.0.attention.wq.weight')?.dtype === 'BF16' ? 'bf16' : 'f32';
}

/** Tokens after which a reply ends, as tokenizer or checkpoint say. */
export function stopIdsOf({ checkpoint }: OpenedModel, tokenizer: Tokenizer): number[] {
  return [...new Set([...tokenizer.stopIds, ...checkpoint.tokenIds.eosIds])];
}

async function tokenizerOf({ format, path }: Checkpoint): Promise<Tokenizer> {
  if (format === 'gguf') throw new FormatError(`${path}: the tokenizer inside a GGUF file is not read yet`);
  const { loadTokenizerFolder } = await import('../formats/tokenizer-files.ts');
  return loadTokenizerFolder(path);
}

function modelOptions(
  { context }: ModelFlags,
  kvType: KvType,
  precision: Precision,
  { config }: Checkpoint,
  wantedContext: number,
  batch: number,
): ModelOptions {
  const contextLength =
    context === undefined ? Math.min(wantedContext, config.maxSeqLen) : wholeNumber('--context', context, 1);
  return { precision, kvType, contextLength, batch };
}

/** A line that is rewritten while weights load, where a person watches. */
function progressOn({ stderr }: CommandIo): (share: number) => void {
  if (!stderr.isTTY) return () => {};
  return (share) => stderr.write(share < 1 ? `\rloading ${Math.floor(100 * share)} %` : '\r\u001b[K');
}

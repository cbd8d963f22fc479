/**
 * `cria plan`: memory, operations, time and cost of a model of any size, without having it.
 */
import { Command } from 'commander';
import { KV_TYPES, type KvType, kvBytesPerToken } from '../infer/kv-cache.ts';
import { precisionOf, WEIGHT_TYPES, type WeightType } from '../infer/weight-type.ts';
import type { LlamaConfig } from '../model/config.ts';
import type { InferencePlan, InferenceSizes } from '../planner/inference-plan.ts';
import type { Machine } from '../planner/machine.ts';
import type { TrainingPlan, TrainingTime } from '../planner/training-plan.ts';
import { CapacityError } from '../util/errors.ts';
import { renderCount, renderDuration } from './format.ts';
import { type CommandIo, printJson, printLine } from './io.ts';
import { choice, chooseBackend, wholeNumber } from './open-model.ts';

interface Flags {
  readonly size?: string;
  readonly context?: string;
  readonly batch: string;
  readonly kv: string;
  readonly precision: string;
  readonly train?: boolean;
  readonly trainTokens?: string;
  readonly machine: string;
  readonly json?: boolean;
}

const DEFAULT_CONTEXT = 8192;
const MACHINE_NAMES = ['this', 'h100'] as const;

/** The command, not yet run. */
export function planCommand(io: CommandIo): Command {
  return new Command('plan')
    .description('memory, operations, time and cost of a model, without having it')
    .option('--size <name>', 'a model size; all of them by default')
    .option('--context <tokens>', 'tokens of each sequence (default: 8192, or all that the model was trained for)')
    .option('--batch <n>', 'sequences at once', '1')
    .option('--kv <type>', `type of keys and values: ${KV_TYPES.join(', ')}`, 'f16')
    .option('--precision <type>', `type of the weights: ${WEIGHT_TYPES.join(', ')}`, 'bf16')
    .option('--train', 'also what training takes')
    .option('--train-tokens <n>', 'tokens to train on (default: 20 for each parameter, arXiv:2203.15556)')
    .option('--machine <name>', `whose time is estimated: ${MACHINE_NAMES.join(' or ')}`, 'this')
    .option('--json', 'print one JSON value on stdout')
    .action((flags: Flags) => run(flags, io));
}

/** Everything that is said of one size. */
interface Report {
  readonly size: string;
  readonly sizes: InferenceSizes;
  readonly plan: InferencePlan;
  readonly kvPerToken: number;
  readonly byType: { readonly weights: Record<WeightType, number>; readonly kv: Record<KvType, number> };
  readonly machine: Machine | null;
  readonly time: { readonly prefillSeconds: number; readonly decodeTps: number } | null;
  readonly training: (TrainingPlan & { readonly numTokens: number; readonly time: TrainingTime | null }) | null;
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const { sizeConfig, sizeNames } = await import('../model/sizes.ts');
  const sizes = (flags.size === undefined ? sizeNames : [flags.size]).map((size) => {
    const config = sizeConfig(size);
    return { size, config, chosen: inferenceSizes(config, flags) };
  });
  const machine = await machineOf(flags, io);
  const reports: Report[] = [];
  for (const { size, config, chosen } of sizes) reports.push(await reportOf(size, config, chosen, flags, machine));
  if (flags.json) return printJson(io, flags.size === undefined ? reports.map(jsonOf) : jsonOf(reports[0]!));
  for (const [i, report] of reports.entries()) printLine(io, `${i > 0 ? '\n' : ''}${renderReport(report)}`);
}

async function machineOf(flags: Flags, io: CommandIo): Promise<Machine | null> {
  const { MACHINES, measureMachine } = await import('../planner/machine.ts');
  const name = choice('--machine', flags.machine, MACHINE_NAMES);
  return name === 'this' ? measureMachine(await chooseBackend({}, io)) : MACHINES[name]!;
}

function inferenceSizes(config: LlamaConfig, flags: Flags): InferenceSizes {
  return {
    weightType: choice('--precision', flags.precision, WEIGHT_TYPES),
    kvType: choice('--kv', flags.kv, KV_TYPES),
    contextLength: contextOf(flags, config),
    batch: wholeNumber('--batch', flags.batch, 1),
  };
}

async function reportOf(
  size: string,
  config: LlamaConfig,
  sizes: InferenceSizes,
  flags: Flags,
  machine: Machine | null,
): Promise<Report> {
  const { inferencePlan, inferenceTime, kvBytesByType } = await import('../planner/inference-plan.ts');
  const { weightBytes } = await import('../infer/weight-states.ts');
  const plan = inferencePlan(config, sizes);
  return {
    size,
    sizes,
    plan,
    kvPerToken: kvBytesPerToken(config, sizes.kvType),
    byType: {
      weights: byWeightType((type) => weightBytes(config, type)),
      kv: kvBytesByType(config, sizes.contextLength, sizes.batch),
    },
    machine,
    time: machine && inferenceTime(plan, sizes, machine),
    training: flags.train ? await trainingOf(config, sizes, plan.numParameters, flags, machine) : null,
  };
}

function contextOf({ context, size }: Flags, { maxSeqLen }: LlamaConfig): number {
  if (context === undefined) return Math.min(DEFAULT_CONTEXT, maxSeqLen);
  const wanted = wholeNumber('--context', context, 1);
  if (wanted <= maxSeqLen) return wanted;
  if (size === undefined) return maxSeqLen; // of all sizes, some are trained for less
  throw new CapacityError(`${size} was trained for a context of ${maxSeqLen} tokens, got --context ${wanted}`);
}

async function trainingOf(
  config: LlamaConfig,
  sizes: InferenceSizes,
  numParameters: number,
  { trainTokens }: Flags,
  machine: Machine | null,
): Promise<Report['training']> {
  const { trainingPlan, trainingTime } = await import('../planner/training-plan.ts');
  const precision = precisionOf(sizes.weightType);
  const plan = trainingPlan(config, { ...sizes, precision, checkpointLayers: true });
  const numTokens = trainTokens === undefined ? 20 * numParameters : wholeNumber('--train-tokens', trainTokens, 1);
  return { ...plan, numTokens, time: machine && trainingTime(plan, { precision }, machine, numTokens) };
}

function jsonOf({ size, sizes, plan, kvPerToken, byType, machine, time, training }: Report): Record<string, unknown> {
  return {
    size,
    parameters: plan.numParameters,
    context: sizes.contextLength,
    batch: sizes.batch,
    precision: sizes.weightType,
    kv: sizes.kvType,
    weights_bytes: plan.weightBytes,
    weights_bytes_by_type: byType.weights,
    kv_cache_bytes: plan.kvCacheBytes,
    kv_cache_bytes_by_type: byType.kv,
    kv_cache_bytes_per_token: kvPerToken,
    kv_cache_bytes_allocated: plan.kvAllocatedBytes,
    kv_cache_bytes_without_gqa: plan.kvBytesWithoutGqa,
    activations_bytes: plan.activationBytes,
    total_bytes: plan.totalBytes,
    prefill_flops: plan.prefillFlops,
    decode_flops: plan.decodeFlops,
    machine: machine?.name ?? null,
    prefill_seconds: time?.prefillSeconds ?? null,
    decode_tps: time?.decodeTps ?? null,
    ...(training === null ? {} : { training: trainingJson(training) }),
  };
}

function trainingJson(training: NonNullable<Report['training']>): Record<string, unknown> {
  return {
    weights_bytes: training.weightBytes,
    gradients_bytes: training.gradientBytes,
    moments_bytes: training.momentBytes,
    activations_bytes: training.activationBytes,
    total_bytes: training.totalBytes,
    step_tokens: training.tokensPerStep,
    step_flops: training.stepFlops,
    tokens: training.numTokens,
    machines: training.time?.numMachines ?? null,
    machine_hours: training.time?.machineHours ?? null,
    cost_usd: training.time?.cost ?? null,
  };
}

function renderReport({ size, sizes, plan, byType, machine, time, training }: Report): string {
  const { contextLength, batch, weightType, kvType } = sizes;
  const share = plan.kvCacheBytes / plan.kvBytesWithoutGqa;
  const rows: [string, string, string][] = [
    ['weights', gigabytes(plan.weightBytes), `${weightType}; ${others(byType.weights, weightType)}`],
    ['KV cache', gigabytes(plan.kvCacheBytes), `${kvType}; ${others(byType.kv, kvType)}${gqaNote(share, plan)}`],
    ['activations', gigabytes(plan.activationBytes), 'in the largest step'],
    ['together', gigabytes(plan.totalBytes), machine ? memoryNote(plan.totalBytes, machine) : ''],
    ['prompt', renderFlops(plan.prefillFlops), time ? atBest(renderSeconds(time.prefillSeconds)) : ''],
    ['one more token', renderFlops(plan.decodeFlops), time ? atBest(`${time.decodeTps.toFixed(1)} tokens/s`) : ''],
    ...(training ? trainingRows(training) : []),
  ];
  const on = machine ? `, on ${machine.name}` : '';
  return [
    `${size}: ${renderCount(plan.numParameters)} parameters, ${batch} x ${contextLength} tokens${on}`,
    ...rows.map(([name, value, note]) => `  ${name.padEnd(16)}${value.padStart(12)}${note && `  ${note}`}`),
  ].join('\n');
}

function trainingRows(training: NonNullable<Report['training']>): [string, string, string][] {
  const { time, numTokens, tokensPerStep } = training;
  const rows: [string, string, string][] = [
    ['training: weights', gigabytes(training.weightBytes), 'f32'],
    ['gradients', gigabytes(training.gradientBytes), ''],
    ['AdamW moments', gigabytes(training.momentBytes), ''],
    ['activations', gigabytes(training.activationBytes), `${tokensPerStep} tokens a step, layers recomputed`],
    ['together', gigabytes(training.totalBytes), time ? `at least ${time.numMachines} such machines` : ''],
  ];
  if (!time) return rows;
  const cost = time.cost === null ? '' : `, about $${renderCount(time.cost)}`;
  const note = `of one machine${cost}, at 40 % of its peak`;
  return [...rows, [`${renderCount(numTokens)} tokens`, renderDuration(time.machineHours * 3600), note]];
}

function byWeightType(bytes: (type: WeightType) => number): Record<WeightType, number> {
  return Object.fromEntries(WEIGHT_TYPES.map((type) => [type, bytes(type)])) as Record<WeightType, number>;
}

/** The sizes in the types that were not chosen. */
function others<T extends string>(bytes: Readonly<Record<T, number>>, chosen: T): string {
  const rest = Object.entries<number>(bytes).filter(([type]) => type !== chosen);
  return rest.map(([type, size]) => `${type} ${gigabytes(size)}`).join(', ');
}

function gqaNote(share: number, plan: InferencePlan): string {
  return share === 1 ? '' : `; without grouped queries ${gigabytes(plan.kvBytesWithoutGqa)}`;
}

function memoryNote(bytes: number, { memoryBytes }: Machine): string {
  return `${bytes <= memoryBytes ? 'fits into' : 'more than'} the ${gigabytes(memoryBytes)} of this machine`;
}

function renderFlops(flops: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(flops) / 3));
  return `${(flops / 1000 ** power).toPrecision(3)} ${units[power]}FLOP`;
}

function atBest(what: string): string {
  return `${what} at best`;
}

function renderSeconds(seconds: number): string {
  if (seconds < 0.1) return `${(seconds * 1000).toPrecision(2)} ms`;
  return seconds < 60 ? `${seconds.toPrecision(3)} s` : renderDuration(seconds);
}

function gigabytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

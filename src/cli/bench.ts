/**
 * `cria bench`: how fast a model reads and generates on this machine, beside what its memory allows at best.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Command } from 'commander';
import { KV_TYPES } from '../infer/kv-cache.ts';
import type { InferenceModel } from '../infer/model.ts';
import { kvTypeFor } from '../infer/weight-states.ts';
import { WEIGHT_TYPES, type WeightType } from '../infer/weight-type.ts';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import type { Measurement, Workload } from './measure-generation.ts';
import { choice, chooseBackend, openModel, wholeNumber } from './open-model.ts';

interface Flags {
  readonly model?: string;
  readonly shape?: string;
  readonly quant?: string;
  readonly kv?: string;
  readonly context?: string;
  readonly promptTokens: string;
  readonly genTokens: string;
  readonly concurrency: string;
  readonly rounds: string;
  readonly backend?: string;
  readonly json?: boolean;
}

const TIMER_MS = 1;

interface Times {
  readonly loadMs: number;
  /** How much later than asked for a timer came at worst, which a user notices. */
  readonly eventLoopLateMs: number;
}

/** The command, not yet run. */
export function benchCommand(io: CommandIo): Command {
  return new Command('bench')
    .description('measure how fast a model reads and generates here')
    .option('--model <model>', 'a model folder, .gguf file, training run or nano')
    .option('--shape <size>', 'random weights of a model size instead')
    .option('--quant <type>', `type of the weights: ${WEIGHT_TYPES.join(', ')} (default: as saved, or f32)`)
    .option('--kv <type>', `type of keys and values: ${KV_TYPES.join(', ')}`)
    .option('--prompt-tokens <n>', 'tokens of each prompt', '512')
    .option('--gen-tokens <n>', 'tokens to generate after each', '64')
    .option('--context <tokens>', 'room for each request (default: as much as is measured)')
    .option('--concurrency <n>', 'requests at once', '1')
    .option('--rounds <n>', 'the best of so many is reported', '3')
    .option('--backend <name>', 'native or reference')
    .option('--json', 'print one JSON value on stdout')
    .action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const [{ measureGeneration }, { touchCache }] = await Promise.all([
    import('./measure-generation.ts'),
    import('../infer/touch-cache.ts'),
  ]);
  const workload: Workload = {
    promptTokens: wholeNumber('--prompt-tokens', flags.promptTokens, 1),
    // The first decoding step starts the clock: two more are the least that can be timed.
    genTokens: wholeNumber('--gen-tokens', flags.genTokens, 4),
    concurrency: wholeNumber('--concurrency', flags.concurrency, 1),
  };
  const rounds = wholeNumber('--rounds', flags.rounds, 1);
  await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../infer/model.ts'),
    import('../runtime/native.ts'),
  ]);
  const startedAt = performance.now(); // of loading a model, not of starting the program
  const model = await loadFor(flags, workload, io);
  const loadMs = performance.now() - startedAt;
  await touchCache(model); // all of --context counts as memory, and no measured step meets fresh pages
  await measureGeneration(model, { ...workload, genTokens: 4 }); // compiles the plans
  const measurements: Measurement[] = [];
  const delay = monitorEventLoopDelay({ resolution: TIMER_MS });
  delay.enable();
  for (let round = 0; round < rounds; round++) measurements.push(await measureGeneration(model, workload));
  delay.disable();
  const times = { loadMs, eventLoopLateMs: Math.max(0, delay.max / 1e6 - TIMER_MS) };
  const report = await reportOf(flags, model, workload, { ...best(measurements), ...times });
  if (flags.json) printJson(io, report);
  else for (const [name, value] of Object.entries(report)) printLine(io, `${name.padEnd(24)}${rendered(value)}`);
}

async function loadFor(flags: Flags, workload: Workload, io: CommandIo): Promise<InferenceModel> {
  const measured = workload.promptTokens + workload.genTokens;
  const wantedContext = flags.context === undefined ? measured : wholeNumber('--context', flags.context, measured);
  const sizes = { wantedContext, batch: workload.concurrency };
  if ((flags.model === undefined) === (flags.shape === undefined)) {
    throw new UsageError('give either --model or --shape');
  }
  if (flags.model !== undefined) {
    const opened = await openModel(flags.model, { ...flags, precision: flags.quant ?? 'auto' }, io);
    return opened.load(sizes).finally(() => opened.close());
  }
  const [{ sizeConfig }, { randomModel }] = await Promise.all([
    import('../model/sizes.ts'),
    import('../infer/model.ts'),
  ]);
  const config = sizeConfig(flags.shape!);
  const weightType: WeightType = choice('--quant', flags.quant ?? 'f32', WEIGHT_TYPES);
  const kvType = flags.kv === undefined ? kvTypeFor(weightType) : choice('--kv', flags.kv, KV_TYPES);
  const backend = await chooseBackend(flags, io);
  logLine(io, `random weights of ${flags.shape} in ${weightType} ...`);
  return randomModel(config, backend, { weightType, kvType, contextLength: sizes.wantedContext, batch: sizes.batch });
}

/** The best of each number, as other work on the machine only ever makes them worse. */
function best(measurements: readonly Measurement[]): Measurement {
  const pick = (better: (...values: number[]) => number, key: keyof Measurement): number =>
    better(...measurements.map((measurement) => measurement[key] ?? NaN));
  const share = pick(Math.min, 'outsideKernelsShare');
  return {
    prefillTps: pick(Math.max, 'prefillTps'),
    decodeTps: pick(Math.max, 'decodeTps'),
    msPerStep: pick(Math.min, 'msPerStep'),
    outsideKernelsShare: Number.isNaN(share) ? null : share,
  };
}

async function reportOf(
  { model: name, shape }: Flags,
  model: InferenceModel,
  { promptTokens, genTokens, concurrency }: Workload,
  measured: Measurement & Times,
): Promise<Record<string, string | number | null>> {
  const { decodeBytes } = await import('../infer/decode-bytes.ts');
  const { NativeBackend } = await import('../runtime/native.ts');
  const native = model.backend instanceof NativeBackend ? model.backend : null;
  const bytes = decodeBytes(
    model,
    Array.from({ length: concurrency }, () => promptTokens + genTokens / 2),
  );
  const peakRss = process.resourceUsage().maxRSS; // before the probe takes memory of its own
  const limit = native && (await native.probe('readBandwidth', PROBE_BYTES));
  return {
    model: name ?? shape ?? null,
    quant: model.weightForm,
    kv: model.kvType,
    backend: model.backend.name,
    isa: native?.isa ?? null,
    threads: native?.threads ?? null,
    prompt_tokens: promptTokens,
    gen_tokens: genTokens,
    concurrency,
    load_ms: measured.loadMs,
    prefill_tps: measured.prefillTps,
    decode_tps: measured.decodeTps,
    ms_per_step: measured.msPerStep,
    bytes_per_step: bytes,
    bandwidth_gbps: bytes / measured.msPerStep / 1e6,
    bandwidth_limit_gbps: limit && limit / 1e9,
    outside_kernels_share: measured.outsideKernelsShare,
    event_loop_late_ms: measured.eventLoopLateMs,
    peak_rss_mib: peakRss / 1024,
  };
}

const PROBE_BYTES = 2 ** 29; // beyond any cache

function rendered(value: string | number | null): string {
  if (typeof value !== 'number') return value ?? '-';
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}

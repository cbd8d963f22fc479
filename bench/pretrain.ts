/**
 * Pre-training speed and memory beside PyTorch on the CPU: the same model, step (gradient, clipping, AdamW), token count and threads, steps
 * of all contenders in turn. Prints tokens/s, the share of what the machine can do, peak memory, and the ratio to the fastest peer.
 *
 *   npx tsx bench/pretrain.ts [--precision f32,bf16] [--peers eager,compile] [--rounds N] [--size NAME] [--profile] [--json]
 */
import { parseArgs } from 'node:util';
import { sizeConfig } from '../src/model/sizes.ts';
import { interleave, report, type Sample, speedRatio, type Timing } from './interleave.ts';
import { LineProcess } from './line-process.ts';
import { machine, renderMachine } from './machine.ts';
import { peerScript, peersPython } from './peers/python.ts';

interface Options {
  readonly size: string;
  readonly rows: number;
  readonly seqLen: number;
  readonly threads: number;
  readonly rounds: number;
  /** Modes of PyTorch: eager, compile. */
  readonly peers: readonly string[];
  readonly profile: boolean;
}

/** One operator over one step; `flops` is 0 where they are not worth counting. */
interface OperatorTime {
  readonly op: string;
  readonly calls: number;
  readonly seconds: number;
  readonly flops: number;
}

interface Result {
  readonly precision: string;
  readonly timings: readonly Timing[];
  readonly tokensPerStep: number;
  readonly flopsPerStep: number;
  /** Multiply-adds count as two. */
  readonly peakFlops: number;
  readonly peakMib: readonly number[];
  /** Of one step of ours; null unless asked for. */
  readonly profile: readonly OperatorTime[] | null;
}

// Threads of PyTorch's OpenMP spin for up to 200 ms after their work.
const PAUSE_MS = 300;
const WARMUP_STEPS = 2;

function startOurs({ size, rows, seqLen, threads }: Options, precision: string): LineProcess {
  const script = new URL('pretrain-step.ts', import.meta.url).pathname;
  const args = ['--size', size, '--rows', rows, '--seq', seqLen, '--threads', threads, '--precision', precision];
  return new LineProcess('cria', process.execPath, ['--import', 'tsx', script, ...args.map(String)]);
}

function startTorch({ size, rows, seqLen, threads }: Options, mode: string, precision: string): LineProcess {
  const { dim, numLayers, numHeads, numKvHeads, ffnDim, vocabSize } = sizeConfig(size);
  const args = { dim, layers: numLayers, heads: numHeads, 'kv-heads': numKvHeads, ffn: ffnDim, vocab: vocabSize };
  const flags = Object.entries({ ...args, rows, seq: seqLen, threads, mode, dtype: precision });
  const list = flags.flatMap(([name, value]) => [`--${name}`, String(value)]);
  return new LineProcess(`torch ${mode}`, peersPython(), [peerScript('torch_pretrain.py'), ...list]);
}

async function measure(options: Options, precision: string): Promise<Result> {
  const names = ['cria', ...options.peers.map((mode) => `torch ${mode}`)];
  const ours = startOurs(options, precision);
  const processes = [ours, ...options.peers.map((mode) => startTorch(options, mode, precision))];
  try {
    for (const each of processes) {
      for (let step = 0; step < WARMUP_STEPS; step++) await each.ask('step');
      each.forgetPeak();
    }
    await ours.ask('profile');
    const contenders = processes.map((each, i) => ({ name: names[i]!, measure: () => each.ask<Sample>('step') }));
    const timings = await interleave(contenders, { rounds: options.rounds, warmups: 0, pauseMs: PAUSE_MS });
    const profile = await ours.ask<OperatorTime[]>('profile');
    const peaks = await ours.ask<Record<string, number>>('peaks');
    return {
      precision,
      timings,
      tokensPerStep: options.rows * options.seqLen,
      flopsPerStep: profile.reduce((total, { flops }) => total + flops, 0),
      peakFlops: peaks[precision]!,
      peakMib: processes.map((each) => each.peakMib()),
      profile: options.profile ? perStep(profile, options.rounds) : null,
    };
  } finally {
    await Promise.all(processes.map((each) => each.close()));
  }
}

function perStep(profile: readonly OperatorTime[], steps: number): OperatorTime[] {
  return profile.map(({ op, calls, seconds, flops }) => ({
    op,
    calls: calls / steps,
    seconds: seconds / steps,
    flops,
  }));
}

function renderProfile(profile: readonly OperatorTime[], peakFlops: number): string[] {
  const total = profile.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = profile.map(({ op, calls, seconds, flops }) => {
    const rate = flops / seconds;
    const speed = flops > 0 ? [(rate / 1e9).toFixed(0), ((100 * rate) / peakFlops).toFixed(0)] : ['', ''];
    const columns = [calls.toFixed(0), (seconds * 1e3).toFixed(1), ((100 * seconds) / total).toFixed(1), ...speed];
    return op.padEnd(20) + columns.map((text) => text.padStart(10)).join('');
  });
  return [`${'one step'.padEnd(20)}     calls        ms    % time   GFLOP/s % of peak`, ...rows, ''];
}

function render({ precision, timings, tokensPerStep, flopsPerStep, peakFlops, peakMib, profile }: Result): string[] {
  const header = `${precision.padEnd(15)} tok/s best  median   % of peak (best)   peak MiB   CPU s a step   cria is faster: best  median`;
  const rows = timings.map((timing, i) => {
    const best = tokensPerStep / timing.minSeconds;
    const share = (100 * flopsPerStep) / timing.minSeconds / peakFlops;
    const { minima, medians } = speedRatio(timings[0]!, timing);
    const ratio = i === 0 ? '' : `${minima.toFixed(3).padStart(25)}${medians.toFixed(3).padStart(8)}`;
    const speeds = `${best.toFixed(0).padStart(10)}${(tokensPerStep / timing.medianSeconds).toFixed(0).padStart(8)}`;
    const memory = peakMib[i]!.toFixed(0).padStart(11);
    const cpu = Math.min(...timing.samples.map(({ cpuSeconds }) => cpuSeconds!))
      .toFixed(2)
      .padStart(15);
    return `${timing.name.padEnd(15)} ${speeds}${share.toFixed(1).padStart(19)}${memory}${cpu}${ratio}`;
  });
  const peak = `measured peak of multiply-adds: ${(peakFlops / 1e9).toFixed(0)} GFLOP/s`;
  return [header, ...rows, peak, '', ...(profile ? renderProfile(profile, peakFlops) : [])];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      precision: { type: 'string', default: 'f32,bf16' },
      peers: { type: 'string', default: 'eager,compile' },
      rounds: { type: 'string', default: '5' },
      size: { type: 'string', default: 'nano-30m' },
      rows: { type: 'string', default: '8' },
      seq: { type: 'string', default: '512' },
      threads: { type: 'string', default: '2' },
      profile: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const options: Options = {
    size: values.size,
    rows: Number(values.rows),
    seqLen: Number(values.seq),
    threads: Number(values.threads),
    rounds: Number(values.rounds),
    peers: values.peers.split(',').filter(Boolean),
    profile: values.profile,
  };
  const results: Result[] = [];
  for (const precision of values.precision.split(',')) results.push(await measure(options, precision));
  report(values.json, { machine: machine(), results }, () => [
    renderMachine(machine()),
    `${options.size}, ${options.rows} x ${options.seqLen} tokens a step, ${options.threads} threads, ${options.rounds} rounds`,
    '',
    ...results.flatMap(render),
  ]);
}

if (import.meta.filename === process.argv[1]) await main();

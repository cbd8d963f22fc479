/**
 * Measures contenders alternately, so that a busy neighbour or a warm processor meets all of them: A B A B ..., then the fastest and the
 * median round of each, and how much faster the first is. Knows nothing about what is measured.
 *
 *   npx tsx bench/interleave.ts [--rounds N] [--warmups N] [--json] "command A" "command B" ...
 *
 * A command's time is its wall time, or `seconds` of the JSON object that is the last line it prints.
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { UsageError } from '../src/util/errors.ts';

/** One round of one contender; further numbers (memory, loss) travel along. */
export interface Sample {
  readonly seconds: number;
  readonly [detail: string]: number;
}

export interface Contender {
  readonly name: string;
  /** Does the work once and says how long it took. */
  readonly measure: () => Promise<Sample> | Sample;
}

export interface Timing {
  readonly name: string;
  readonly samples: readonly Sample[];
  readonly minSeconds: number;
  readonly medianSeconds: number;
}

/** How many times faster one contender is than another, by the fastest rounds and by the median rounds. */
export interface SpeedRatio {
  readonly minima: number;
  readonly medians: number;
}

export interface InterleaveOptions {
  readonly rounds: number;
  /** Rounds before those that count. */
  readonly warmups?: number;
  /** Rest between two measurements: lets threads that spin after their work fall asleep. */
  readonly pauseMs?: number;
}

/** The middle value, of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The seconds a function takes. */
export async function timed(body: () => unknown): Promise<Sample> {
  const startMs = performance.now();
  await body();
  return { seconds: (performance.now() - startMs) / 1000 };
}

/** Runs all contenders in turn, `rounds` times. */
export async function interleave(
  contenders: readonly Contender[],
  { rounds, warmups = 1, pauseMs = 0 }: InterleaveOptions,
): Promise<Timing[]> {
  const samples = contenders.map((): Sample[] => []);
  for (let round = -warmups; round < rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const sample = await contender.measure();
      if (round >= 0) samples[i]!.push(sample);
      if (pauseMs > 0) await sleep(pauseMs);
    }
  }
  return contenders.map(({ name }, i) => {
    const seconds = samples[i]!.map((sample) => sample.seconds);
    return { name, samples: samples[i]!, minSeconds: Math.min(...seconds), medianSeconds: median(seconds) };
  });
}

/** How many times faster `ours` is than `peer`. */
export function speedRatio(ours: Timing, peer: Timing): SpeedRatio {
  return { minima: peer.minSeconds / ours.minSeconds, medians: peer.medianSeconds / ours.medianSeconds };
}

/** A table for people: times, rates where the amount of work is given, and how much faster the first contender is than each other. */
export function renderTimings(
  timings: readonly Timing[],
  work: { amount: number; unit: string } | null = null,
): string[] {
  const width = Math.max(...timings.map(({ name }) => name.length));
  const rate = (seconds: number) => (work ? `  ${(work.amount / seconds).toPrecision(4)} ${work.unit}/s` : '');
  const column = (label: string, seconds: number) =>
    `${label} ${(seconds * 1000).toPrecision(4).padStart(7)} ms${rate(seconds)}`;
  return timings.map((timing, i) => {
    const { minima, medians } = speedRatio(timings[0]!, timing);
    const against =
      i === 0 ? '' : `   first is ${minima.toFixed(3)} x as fast by minima, ${medians.toFixed(3)} x by medians`;
    return `${timing.name.padEnd(width)}  ${column('min', timing.minSeconds)}   ${column('median', timing.medianSeconds)}${against}`;
  });
}

/** Prints one JSON value with `json`, else the lines that `render` makes. */
export function report(json: boolean, value: unknown, render: () => readonly string[]): void {
  console.log(json ? JSON.stringify(value) : render().join('\n'));
}

function measureCommand(command: string): Sample {
  const startMs = performance.now();
  const { status, stdout } = spawnSync(command, {
    shell: true,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const wallSeconds = (performance.now() - startMs) / 1000;
  if (status !== 0) throw new UsageError(`the command "${command}" failed (status ${status}); run it alone to see why`);
  return { seconds: reportedSeconds(stdout) ?? wallSeconds };
}

function reportedSeconds(stdout: string): number | null {
  try {
    const { seconds } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { seconds?: unknown };
    return typeof seconds === 'number' ? seconds : null;
  } catch {
    return null;
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      warmups: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length === 0) throw new UsageError('give the commands to measure, each as one quoted argument');
  const contenders = positionals.map((command) => ({ name: command, measure: () => measureCommand(command) }));
  const timings = await interleave(contenders, { rounds: Number(values.rounds), warmups: Number(values.warmups) });
  report(values.json, timings, () => renderTimings(timings));
}

if (import.meta.filename === process.argv[1]) await main();

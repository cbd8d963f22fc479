/**
 * The ways to compute that docs/decisions/0001-own-kernels.md weighs, measured on this machine: the products of Llama 3.2 1B for one token
 * and for a prompt, and one product of matrices, by every contender in turn. Needs the peers (bench/peers/README.md).
 *
 *   npx tsx bench/compute-options.ts [--only NAME,NAME] [--rounds N] [--threads N] [--json]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../src/util/errors.ts';
import { interleave, report, type Sample } from './interleave.ts';
import { type Limits, measureLimits } from './limits.ts';
import { LineProcess } from './line-process.ts';
import { machine, renderMachine } from './machine.ts';
import { peerScript, peersPython } from './peers/python.ts';
import type { LlamaSettings } from './peers/llama-contender.ts';
import { decodeScale, EXTENTS, type Extent, GEMM_FLOPS, gemmScale, prefillScale, TOKEN_WEIGHTS } from './shape-1b.ts';
import { PREFILL_TOKENS } from './workloads.ts';

const WORK = ['decode', 'prefill', 'gemm'] as const;
type Work = (typeof WORK)[number];

interface Option {
  readonly label: string;
  /** What it is measured on. */
  readonly work: readonly Work[];
  /** Makes the files it reads. */
  readonly prepare?: (folder: string) => void;
  /** What its seconds are multiplied by where it does a part of the work or more than that. */
  readonly scales?: Readonly<Record<Work, number>>;
  /** What it calls a piece of work, if not by its name. */
  readonly requests?: Readonly<Partial<Record<Work, string>>>;
  /** Script and arguments of the processes that share the work. */
  readonly processes: (folder: string, threads: string) => readonly (readonly string[])[];
}

const here = (file: string) => path.join(import.meta.dirname, file);
const python = (...args: string[]) => execFileSync(peersPython(), args, { stdio: ['ignore', 'ignore', 'inherit'] });

function sizes(extent: Extent): string[] {
  const { numLayers, vocabSize } = EXTENTS[extent];
  return ['--layers', String(numLayers), '--vocab', String(vocabSize)];
}

/** llama.cpp on weights of a type. */
function llama(type: string, extent: Extent, work: readonly Work[]): Option {
  const file = `${type}.gguf`;
  return {
    label: `llama.cpp (node-llama-cpp), ${type}`,
    work,
    prepare: (folder) =>
      void python(peerScript('write_gguf.py'), path.join(folder, file), '--type', type, ...sizes(extent)),
    processes: (folder, threads) => [
      [
        here('peers/llama-contender.ts'),
        JSON.stringify({
          modelPath: path.join(folder, file),
          threads: Number(threads),
          contextTokens: 2 * PREFILL_TOKENS,
          sequences: 1,
        } satisfies LlamaSettings),
      ],
    ],
    scales: { decode: decodeScale(extent), prefill: prefillScale(extent), gemm: gemmScale(extent) },
    requests: { gemm: 'prefill' },
  };
}

function own(weightType: string, extent: Extent, work: readonly Work[]): Option {
  return {
    label: `own kernels, ${weightType}`,
    work,
    processes: (_, threads) => [[here('cria-contender.ts'), weightType, extent, threads]],
  };
}

/** One process a thread: JavaScript has no threads that share objects. */
function script(kind: string, label: string): Option {
  return {
    label,
    work: ['decode', 'gemm'],
    processes: (_, threads) =>
      Array.from({ length: Number(threads) }, () => [here('probes/script-contender.ts'), kind, threads]),
  };
}

const OPTIONS: Readonly<Record<string, Option>> = {
  'llama-q4': llama('q4_0', 'whole', ['decode', 'prefill']),
  'llama-f32': llama('f32', 'part', WORK),
  'llama-bf16': llama('bf16', 'part', WORK),
  onnx: {
    label: 'onnxruntime-node, int4 MatMulNBits, f32 product',
    work: ['decode', 'prefill', 'gemm'],
    prepare: (folder) => void python(peerScript('write_onnx.py'), folder),
    processes: (folder, threads) => [[here('peers/onnx-contender.ts'), folder, threads]],
  },
  wasm: script('wasm', 'WASM SIMD128, int4 and f32'),
  script: script('script', 'plain JavaScript, f32'),
  q4: own('q4', 'whole', ['decode', 'prefill']),
  f32: own('f32', 'part', WORK),
  bf16: own('bf16', 'part', WORK),
};

/** Fastest and median seconds of an option on each kind of work. */
type Figures = Readonly<Partial<Record<Work, { readonly min: number; readonly median: number }>>>;

/** The slowest of the processes that share the work: all must be done. */
async function measureTogether(
  processes: readonly LineProcess[],
  { scales, requests }: Option,
  work: Work,
): Promise<Sample> {
  const samples = await Promise.all(processes.map((each) => each.ask<Sample>(requests?.[work] ?? work)));
  return { seconds: Math.max(...samples.map(({ seconds }) => seconds)) * (scales?.[work] ?? 1) };
}

function start(name: string, folder: string, threads: number): LineProcess[] {
  const { processes, prepare } = OPTIONS[name]!;
  prepare?.(folder);
  return processes(folder, String(threads)).map(
    (args) => new LineProcess(name, process.execPath, ['--import', 'tsx', ...args]),
  );
}

async function measureAll(names: readonly string[], threads: number, rounds: number): Promise<Map<string, Figures>> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cria-options-'));
  const figures = new Map<string, Partial<Record<Work, { min: number; median: number }>>>();
  const started = new Map<string, LineProcess[]>();
  try {
    for (const name of names) {
      console.error(`preparing ${name}`);
      started.set(name, start(name, folder, threads));
    }
    for (const work of WORK) {
      const able = names.filter((name) => OPTIONS[name]!.work.includes(work));
      const contenders = able.map((name) => ({
        name,
        measure: async () => {
          const sample = await measureTogether(started.get(name)!, OPTIONS[name]!, work);
          console.error(`${work} ${name}: ${sample.seconds.toPrecision(3)} s`);
          return sample;
        },
      }));
      for (const { name, minSeconds, medianSeconds } of await interleave(contenders, { rounds, pauseMs: 100 }))
        figures.set(name, { ...figures.get(name), [work]: { min: minSeconds, median: medianSeconds } });
    }
  } finally {
    await Promise.all([...started.values()].flat().map((each) => each.close()));
    rmSync(folder, { recursive: true });
  }
  return figures;
}

const RATES: Readonly<Record<Work, (seconds: number) => number>> = {
  decode: (seconds) => 1 / seconds,
  prefill: (seconds) => PREFILL_TOKENS / seconds,
  gemm: (seconds) => GEMM_FLOPS / seconds / 1e9,
};

const giga = (value: number | null): string => (value === null ? 'none' : (value / 1e9).toFixed(0));

function renderLimits({ f32, bf16, int8, readBandwidth }: Limits): string[] {
  const bits = (perWeight: number) => (readBandwidth / ((TOKEN_WEIGHTS * perWeight) / 8)).toFixed(1);
  return [
    `multiply-adds: f32 ${giga(f32)} GFLOP/s, bf16 ${giga(bf16)} GFLOP/s, int8 ${giga(int8)} Gop/s; reading memory: ${(readBandwidth / 1e9).toFixed(1)} GB/s`,
    `that allows ${bits(4.5)} tok/s at 4.5 bits a weight, ${bits(16)} in bf16, ${bits(32)} in f32`,
  ];
}

function render(limits: Limits, figures: ReadonlyMap<string, Figures>): string[] {
  const cell = (figure: Figures[Work], work: Work) => {
    const [best, middle] = figure ? [RATES[work](figure.min), RATES[work](figure.median)] : [null, null];
    return (best === null ? '' : `${best.toPrecision(3)} (${middle!.toPrecision(3)})`).padEnd(22);
  };
  const rows = [...figures].map(
    ([name, row]) => `${OPTIONS[name]!.label.padEnd(50)}${WORK.map((work) => cell(row[work], work)).join('')}`,
  );
  const header = `${'best (median)'.padEnd(50)}${['decode tok/s', 'prefill 512 tok/s', 'gemm GFLOP/s'].map((title) => title.padEnd(22)).join('')}`;
  return [renderMachine(machine()), ...renderLimits(limits), '', header, ...rows];
}

/** Measures the options named by --only, by default these, and prints them. */
export async function compareOptions(defaults: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: defaults.join(',') },
      rounds: { type: 'string', default: '7' },
      threads: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  });
  const names = values.only.split(',').filter(Boolean);
  const unknown = names.filter((name) => !Object.hasOwn(OPTIONS, name));
  if (unknown.length > 0)
    throw new UsageError(`unknown option ${unknown.join(', ')}: use some of ${Object.keys(OPTIONS).join(', ')}`);
  const [threads, rounds] = [Number(values.threads), Number(values.rounds)];
  if (names.some((name) => OPTIONS[name]!.prepare)) peersPython(); // fail before the long part
  const limits = measureLimits(threads, 3);
  const figures = await measureAll(names, threads, rounds);
  const json = { machine: machine(), threads, rounds, limits, seconds: Object.fromEntries(figures) };
  report(values.json, json, () => render(limits, figures));
}

if (import.meta.filename === process.argv[1]) await compareOptions(Object.keys(OPTIONS));

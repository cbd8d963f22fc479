/**
 * Our engine against llama.cpp (node-llama-cpp): the same GGUF file of random weights, keys and values in f16 on both sides, in turn.
 * Needs the peers (bench/peers/README.md).
 *
 *   npx tsx bench/vs-llama-cpp.ts [--size llama3.2-1b] [--bits 4|8] [--parts decode,prefill,prefillAnew,deep,batch] [--rounds N] [--threads N]
 *                                 [--avx2] [--kv TYPE] [--folder DIR] [--json]
 *
 * `prefill` reads a prompt on an engine that has read one as long before, `prefillAnew` on a new one (our plan is made within the time), `deep`
 * decodes behind 8,192 tokens, `batch` decodes eight sequences at once; processes of their own with the same room for keys and values on
 * both sides (workloads.ts). Memory is the largest after loading. `--avx2` keeps both sides to AVX2; `--folder` keeps the model files for
 * the next run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { KV_TYPES, type KvType } from '../src/infer/kv-cache.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { UsageError } from '../src/util/errors.ts';
import type { OwnSettings } from './generation-contender.ts';
import { interleave, report, type Sample, speedRatio, type Timing } from './interleave.ts';
import { LineProcess } from './line-process.ts';
import { machine, renderMachine } from './machine.ts';
import { copyUpToAvx2 } from './peers/llama-copy.ts';
import type { LlamaSettings } from './peers/llama-contender.ts';
import { peerScript, peersPython } from './peers/python.ts';
import { type Part, PREFILL_TOKENS, type Room, WORKLOADS } from './workloads.ts';

const PARTS: readonly Part[] = WORKLOADS.flatMap(({ parts }): readonly Part[] => parts);

/** Tokens that a sample's seconds stand for. */
const TOKENS: Readonly<Record<Part, number>> = {
  decode: 1,
  prefill: PREFILL_TOKENS,
  prefillAnew: PREFILL_TOKENS,
  deep: 1,
  batch: 1,
};

const READ_BYTES = 2 ** 29;

interface Options {
  readonly size: string;
  readonly bits: '4' | '8';
  readonly kvType: KvType;
  readonly parts: readonly Part[];
  readonly rounds: number;
  readonly threads: number;
  readonly avx2: boolean;
}

interface Row {
  readonly part: Part;
  readonly ours: Timing;
  readonly peer: Timing;
  /** Bytes a token of ours reads against streaming reads of the same threads in the same rounds; for decoding one sequence. */
  readonly shareOfBandwidth: number | null;
}

/** What two processes did. */
interface Run {
  readonly rows: readonly Row[];
  /** Ours, the peer's. */
  readonly about: readonly string[];
  readonly peakMib: readonly number[];
}

function start(name: string, script: string, settings: OwnSettings | LlamaSettings): LineProcess {
  const file = path.join(import.meta.dirname, script);
  return new LineProcess(name, process.execPath, ['--import', 'tsx', file, JSON.stringify(settings)]);
}

/** The file that both run; made if it is not in the folder. */
function modelFile({ size, bits }: Options, folder: string): string {
  const modelPath = path.join(folder, `${size}-q${bits}_0.gguf`);
  if (!existsSync(modelPath)) {
    const args = [peerScript('write_gguf.py'), modelPath, '--size', size, '--type', `q${bits}_0`];
    execFileSync(peersPython(), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return modelPath;
}

function startPeer({ threads, avx2 }: Options, room: Room, modelPath: string, folder: string): LineProcess {
  const settings: LlamaSettings = { modelPath, threads, ...room };
  const copied = avx2 ? { packageFolder: copyUpToAvx2(path.join(folder, 'avx2')) } : {};
  return start('llama.cpp', 'peers/llama-contender.ts', { ...settings, ...copied });
}

function startOwn({ kvType, threads, avx2 }: Options, room: Room, modelPath: string): LineProcess {
  const settings: OwnSettings = { modelPath, kvType, threads, ...room };
  return start('cria', 'generation-contender.ts', { ...settings, ...(avx2 ? { isa: 'avx2' } : {}) });
}

async function comparePart(part: Part, own: LineProcess, peer: LineProcess, options: Options): Promise<Row> {
  const reader = createNativeBackend({ threads: options.threads }); // here, as what it reads would count as the engine's memory
  const contenders = [
    { name: 'cria', measure: () => own.ask<Sample>(part) },
    { name: 'llama.cpp', measure: () => peer.ask<Sample>(part) },
    { name: 'read', measure: async () => ({ seconds: 1 / (await reader.probe('readBandwidth', READ_BYTES)) }) },
  ];
  const [ours, theirs, read] = await interleave(contenders, { rounds: options.rounds, pauseMs: 50 });
  const bytes = (await own.ask<Partial<Record<Part, number>>>('bytes'))[part];
  const share = bytes === undefined ? null : (bytes * read!.medianSeconds) / ours!.medianSeconds;
  return { part, ours: ours!, peer: theirs!, shareOfBandwidth: share };
}

async function compareParts(parts: readonly Part[], room: Room, options: Options, folder: string): Promise<Run> {
  const modelPath = modelFile(options, folder);
  const sides = [startOwn(options, room, modelPath), startPeer(options, room, modelPath, folder)] as const;
  try {
    const about: string[] = [];
    for (const side of sides) about.push((await side.ask<{ systemInfo: string }>('about')).systemInfo.trim());
    for (const side of sides) side.forgetPeak(); // what loading took is not what running takes
    const rows: Row[] = [];
    for (const part of parts) rows.push(await comparePart(part, ...sides, options));
    return { rows, about, peakMib: sides.map((side) => side.peakMib()) };
  } finally {
    await Promise.all(sides.map((side) => side.close()));
  }
}

async function compareAll(options: Options, folder: string): Promise<Run[]> {
  const runs: Run[] = [];
  for (const { parts, contextTokens, sequences } of WORKLOADS) {
    const wanted = parts.filter((part) => options.parts.includes(part));
    if (wanted.length > 0) runs.push(await compareParts(wanted, { contextTokens, sequences }, options, folder));
  }
  return runs;
}

/** Tokens a second. */
function rate(seconds: number, part: Part): string {
  return (TOKENS[part] / seconds).toPrecision(4);
}

function cells({ part, ours, peer, shareOfBandwidth }: Row): string[] {
  const { minima, medians } = speedRatio(ours, peer);
  return [
    part,
    `${rate(ours.minSeconds, part)} (${rate(ours.medianSeconds, part)})`,
    `${rate(peer.minSeconds, part)} (${rate(peer.medianSeconds, part)})`,
    `${minima.toFixed(2)} (${medians.toFixed(2)})`,
    shareOfBandwidth === null ? '' : `${(100 * shareOfBandwidth).toFixed(1)} %`,
  ];
}

function renderMemory({ rows, peakMib: [ours, peer] }: Run): string {
  const ratio = (ours! / peer!).toFixed(2);
  return `memory, ${rows.map(({ part }) => part).join(' and ')}: ${ours!.toFixed(0)} against ${peer!.toFixed(0)} MiB (${ratio})`;
}

function render({ size, bits, kvType }: Options, runs: readonly Run[]): string[] {
  const header = ['tokens/s, best (median)', 'cria', 'llama.cpp', 'faster', 'of read bandwidth'];
  const [ours, peer] = runs[0]!.about;
  const rows = runs.flatMap((run) => run.rows);
  return [
    renderMachine(machine()),
    `${size}, ${bits} bits, keys and values ${kvType}; cria: ${ours}; llama.cpp: ${peer}`,
    ...[header, ...rows.map(cells)].map((row) => row.map((cell) => cell.padEnd(26)).join('')),
    ...runs.map(renderMemory),
  ];
}

function optionsOf(values: Readonly<Record<string, string | boolean | undefined>>): Options {
  const pick = <T extends string>(name: string, known: readonly T[]): T => {
    const found = known.find((each) => each === values[name]);
    if (!found) throw new UsageError(`--${name} ${String(values[name])} is unknown: use one of ${known.join(', ')}`);
    return found;
  };
  const parts = String(values['parts']).split(',');
  const unknown = parts.filter((part) => !PARTS.some((known) => known === part));
  if (unknown.length > 0) throw new UsageError(`unknown part ${unknown.join(', ')}: use some of ${PARTS.join(', ')}`);
  return {
    size: pick('size', ['llama3.2-1b', 'smollm2-135m']),
    bits: pick('bits', ['4', '8']),
    kvType: pick('kv', KV_TYPES),
    parts: parts as Part[],
    rounds: Number(values['rounds']),
    threads: Number(values['threads']),
    avx2: values['avx2'] === true,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: 'llama3.2-1b' },
      bits: { type: 'string', default: '4' },
      kv: { type: 'string', default: 'f16' },
      parts: { type: 'string', default: PARTS.join(',') },
      rounds: { type: 'string', default: '5' },
      threads: { type: 'string', default: '2' },
      folder: { type: 'string' },
      avx2: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const options = optionsOf(values);
  const folder = values.folder ?? mkdtempSync(path.join(os.tmpdir(), 'cria-vs-llama-'));
  try {
    const runs = await compareAll(options, folder);
    report(values.json, { machine: machine(), ...options, runs }, () => render(options, runs));
  } finally {
    if (!values.folder) rmSync(folder, { recursive: true });
  }
}

if (import.meta.filename === process.argv[1]) await main();

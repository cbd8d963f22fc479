/**
 * Damages checkpoint files at random and opens them: the outcome must be a checkpoint or an error of ours that names
 * the file, within bounded processor time and memory. A silent success is fine (most bits are weights), a crash never is.
 *
 * npx tsx bench/fuzz-formats.ts [--mutations 100000] [--seed 1] [--only gguf,pth,...]
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { damaged, generator } from './fuzz-damage.ts';
import { typedTokenizerMetadata } from '../src/formats/convert-tokenizer.ts';
import { writeGguf } from '../src/formats/gguf-write.ts';
import { mergeAdapter } from '../src/formats/merge-adapter.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { openSafetensors } from '../src/formats/safetensors.ts';
import { openTokenizer } from '../src/formats/open-tokenizer.ts';
import { openPeftAdapter } from '../src/formats/peft.ts';
import { readTensorF32, type TensorSource } from '../src/formats/tensor-source.ts';
import { openTorchFile } from '../src/formats/torch-file.ts';
import { templateChatFormat } from '../src/tokenizer/chat-template.ts';
import { readHfTokenizer } from '../src/tokenizer/hf-read.ts';
import type { ChatMessage } from '../src/tokenizer/chat-message.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { CriaError, FormatError } from '../src/util/errors.ts';

const FIXTURES = 'test/fixtures/formats';
const TOKENIZERS = 'test/fixtures/tokenizer';
const MAX_CASE_MS = 5000;
const MAX_GROWTH_MIB = 768;

interface Target {
  readonly name: string;
  /** The file that is damaged, in a copy of its folder. */
  readonly file: string;
  /** What it is called there, if not the same. */
  readonly as?: string;
  readonly openIt: (path: string) => Promise<void>;
  /** Share of the file's bytes, from its start, in which damage is put; the header is what matters. */
  readonly headerBytes: number;
}

const WHOLE_FILE = 1e9;

const GGUF_TOKENIZER = join(tmpdir(), `cria-fuzz-${process.pid}`, 'tokenizer.gguf');

const TARGETS: readonly Target[] = [
  { name: 'safetensors', file: `${FIXTURES}/dtypes.safetensors`, openIt: readAll(openSafetensors), headerBytes: 912 },
  { name: 'pth', file: `${FIXTURES}/toy-meta/consolidated.00.pth`, openIt: readAll(openTorchFile), headerBytes: 2200 },
  { name: 'gguf', file: `${FIXTURES}/toy.gguf`, openIt: openWhole, headerBytes: 4200 },
  { name: 'hf-config', file: `${FIXTURES}/toy-hf/config.json`, openIt: openFolder, headerBytes: WHOLE_FILE },
  {
    name: 'hf-index',
    file: `${FIXTURES}/toy-hf/model.safetensors.index.json`,
    openIt: openFolder,
    headerBytes: WHOLE_FILE,
  },
  { name: 'meta-params', file: `${FIXTURES}/toy-meta/params.json`, openIt: openFolder, headerBytes: WHOLE_FILE },
  {
    name: 'adapter-config',
    file: `${FIXTURES}/toy-lora/adapter_config.json`,
    openIt: openMerged,
    headerBytes: WHOLE_FILE,
  },
  { name: 'adapter', file: `${FIXTURES}/toy-lora/adapter_model.safetensors`, openIt: openMerged, headerBytes: 3700 },
  {
    name: 'tokenizer-json',
    file: `${TOKENIZERS}/smollm-like.json`,
    as: 'tokenizer.json',
    openIt: useTokenizer,
    headerBytes: WHOLE_FILE,
  },
  {
    name: 'tokenizer-model',
    file: `${TOKENIZERS}/vocabulary/tokenizer.model`,
    openIt: useTokenizer,
    headerBytes: WHOLE_FILE,
  },
  { name: 'chat-template', file: `${TOKENIZERS}/chat/llama3.2.jinja`, openIt: useTemplate, headerBytes: WHOLE_FILE },
  { name: 'gguf-tokenizer', file: GGUF_TOKENIZER, openIt: useTokenizer, headerBytes: WHOLE_FILE },
];

function readAll(open: (path: string) => Promise<TensorSource>): (path: string) => Promise<void> {
  return async (path) => {
    const source = await open(path);
    try {
      for (const name of source.tensors.keys()) await readTensorF32(source, name);
    } finally {
      await source.close();
    }
  };
}

async function openWhole(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    for (const name of checkpoint.weights.tensors.keys()) await readTensorF32(checkpoint.weights, name);
  } finally {
    await checkpoint.close();
  }
}

function openFolder(path: string): Promise<void> {
  return openWhole(dirname(path));
}

async function openMerged(path: string): Promise<void> {
  const adapter = await openPeftAdapter(dirname(path));
  try {
    const base = await openCheckpoint(`${FIXTURES}/toy-hf`);
    try {
      const { weights } = mergeAdapter(base, adapter, { keepsType: false });
      for (const name of weights.tensors.keys()) await readTensorF32(weights, name);
    } finally {
      await base.close();
    }
  } finally {
    await adapter.close();
  }
}

const SAMPLE = "Romeo\u2019s  d\u00e9j\u00e0 vu\n\t\u{1f999}\u0000 12345 <|im_start|> \ud800 it's\u0085";

async function useTokenizer(path: string): Promise<void> {
  const tokenizer = await openTokenizer(path);
  tokenizer.decode(tokenizer.encode(SAMPLE, { allowSpecial: true }));
}

const CHAT: readonly ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: SAMPLE },
  { role: 'assistant', content: '', toolCalls: [{ name: 'look', arguments: { at: ['it', 1] } }] },
  { role: 'tool', content: '{"seen": true}' },
];
const CHAT_OPTIONS = { addGenerationPrompt: true, tools: [{ type: 'function', function: { name: 'look' } }] } as const;

async function useTemplate(path: string): Promise<void> {
  templateTokenizer ??= await openTokenizer(`${TOKENIZERS}/vocabulary`);
  try {
    templateChatFormat(templateTokenizer, await readFile(path, 'utf8')).encode(CHAT, CHAT_OPTIONS);
  } catch (error) {
    // The reader knows texts, not files.
    if (error instanceof CriaError && error.code !== 'E_INTERNAL') throw new FormatError(`${path}: ${error.message}`);
    throw error;
  }
}
let templateTokenizer: Tokenizer | null = null;

/** A GGUF file that holds nothing but a vocabulary. */
async function writeGgufVocabulary(path: string): Promise<void> {
  const tokenizer = readHfTokenizer({ tokenizerJson: await readFile(`${TOKENIZERS}/smollm-like.json`, 'utf8') });
  await mkdir(dirname(path));
  await writeGguf(path, typedTokenizerMetadata(tokenizer, null), []);
}

async function fuzz(target: Target, mutations: number, seed: number): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'cria-fuzz-'));
  const folder = join(work, 'model');
  const isInFolder = /\/(toy-|vocabulary)/.test(target.file);
  if (isInFolder) await cp(dirname(target.file), folder, { recursive: true });
  else await mkdir(folder);
  const path = join(folder, target.as ?? basename(target.file));
  const original = await readFile(target.file);
  await checkOriginal(target, path, original);
  const random = generator(seed);
  const outcomes = new Map<string, number>();
  const startMiB = process.memoryUsage().rss / 2 ** 20;
  let [slowestMs, largestMiB] = [0, 0];
  const start = performance.now();
  for (let i = 0; i < mutations; i++) {
    const bytes = damaged(original, target.headerBytes, random);
    await writeFile(path, bytes);
    const from = process.cpuUsage();
    const outcome = await outcomeOf(target, path, folder);
    const { user, system } = process.cpuUsage(from); // not the clock, which others on the machine slow down
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
    if (i % 64 === 0) largestMiB = Math.max(largestMiB, process.memoryUsage().rss / 2 ** 20 - startMiB);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (outcome.startsWith('BAD') || slowestMs > MAX_CASE_MS || largestMiB > MAX_GROWTH_MIB) {
      await writeFile(`fuzz-${target.name}.bin`, bytes);
      const problem = `mutation ${i}: ${outcome}, ${slowestMs.toFixed(0)} ms, ${largestMiB.toFixed(0)} MiB`;
      throw new Error(`${target.name}, seed ${seed}, ${problem}; the file is fuzz-${target.name}.bin`);
    }
  }
  await rm(work, { recursive: true });
  const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ');
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `${target.name}: ${mutations} mutations, ${counts}; slowest ${slowestMs.toFixed(0)} ms of processor time, ` +
      `memory +${largestMiB.toFixed(0)} MiB, ${seconds} s`,
  );
}

async function checkOriginal(target: Target, path: string, original: Buffer): Promise<void> {
  await writeFile(path, original);
  await target.openIt(path);
}

async function outcomeOf(target: Target, path: string, folder: string): Promise<string> {
  try {
    await target.openIt(path);
    return 'opened';
  } catch (error) {
    const { message, stack } = error as Error;
    if (!(error instanceof CriaError) || error.code === 'E_INTERNAL') return `BAD ${stack}`;
    if (!message.startsWith(folder)) return `BAD message does not name the file: ${message}`;
    if (message.length > 100_000) return `BAD message of ${message.length} characters`;
    return error.code;
  }
}

const { values: flags } = parseArgs({
  options: {
    mutations: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
process.on('unhandledRejection', (error) => {
  throw error;
});
await writeGgufVocabulary(GGUF_TOKENIZER);
for (const target of TARGETS) {
  if (flags.only !== undefined && !flags.only.split(',').includes(target.name)) continue;
  await fuzz(target, Number(flags.mutations), Number(flags.seed));
}
await rm(dirname(GGUF_TOKENIZER), { recursive: true });

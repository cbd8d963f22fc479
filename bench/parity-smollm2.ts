/**
 * Parity on a real model: `npx tsx bench/parity-smollm2.ts --model SmolLM2-135M-Instruct.Q4_1.gguf --text FILE --part transformers|file|types`.
 *
 * transformers: the dequantised weights as a Hugging Face folder; our f32 logits and greedy tokens beside those of Transformers in float32.
 * file: perplexity of the file itself, by us and by llama.cpp. types: our q4 and q8 made from the dequantised weights, beside the files
 * Q4_0 and Q8_0 made from the same weights and run by llama.cpp. Prints one JSON value a line. Any text will do that is long enough.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { convertCheckpoint } from '../src/formats/convert.ts';
import { checkpointTokenizer } from '../src/formats/convert-tokenizer.ts';
import { openCheckpoint } from '../src/formats/open-checkpoint.ts';
import { openSafetensors } from '../src/formats/safetensors.ts';
import { numBlocksFor } from '../src/infer/kv-cache.ts';
import { loadModel, type LoadOptions } from '../src/infer/model.ts';
import { ModelRunner } from '../src/infer/model-runner.ts';
import { measurePerplexity } from '../src/infer/perplexity.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { UsageError } from '../src/util/errors.ts';
import { peerScript, peersPython } from './peers/python.ts';

const WINDOW = 512;
const LOGIT_PROMPTS = [5, 32, 100, 200]; // tokens
const [GREEDY_PROMPTS, GREEDY_PROMPT_TOKENS, NEW_TOKENS] = [20, 24, 256];
const THREADS = 2;

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    part: { type: 'string', default: 'file' },
    windows: { type: 'string', default: '100' },
    folder: { type: 'string', default: 'parity' },
  },
});
if (!flags.model || !flags.text) throw new UsageError('name the GGUF file with --model and a text with --text');
mkdirSync(flags.folder, { recursive: true });
const run = promisify(execFile);
const source = await openCheckpoint(flags.model);
const tokenizer = (await checkpointTokenizer(source))!;
const ids = Int32Array.from(tokenizer.encode(readFileSync(flags.text, 'utf8')));
const print = (result: object) => console.log(JSON.stringify(result));

/** The dequantised weights in another format, made once. */
async function converted(to: 'hf' | 'gguf', type: string): Promise<string> {
  const path = join(flags.folder, to === 'hf' ? `${to}-${type}` : `${type}.gguf`);
  if (!existsSync(path)) await convertCheckpoint(source, path, { to, type });
  return path;
}

async function runnerOf(path: string, options: Partial<LoadOptions>): Promise<ModelRunner> {
  const checkpoint = await openCheckpoint(path);
  const defaults = { weightType: 'stored', kvType: null, contextLength: WINDOW, batch: 1 } as const;
  const model = await loadModel(checkpoint, createNativeBackend({ threads: THREADS }), { ...defaults, ...options });
  await checkpoint.close();
  return new ModelRunner(model);
}

async function ourPerplexity(path: string, weightType: LoadOptions['weightType']) {
  const runner = await runnerOf(path, { weightType });
  const options = { windowTokens: WINDOW, bosId: null, maxWindows: Number(flags.windows) };
  const { nll, perplexity, tokens } = await measurePerplexity(runner, ids, options);
  runner.dispose();
  return { nll, perplexity, tokens };
}

async function llamaPerplexity(path: string) {
  const idsPath = join(flags.folder, 'ids.i32');
  writeFileSync(idsPath, new Uint8Array(ids.slice(0, Number(flags.windows) * WINDOW).buffer));
  const args = [peerScript('llama_perplexity.py'), path, idsPath, String(WINDOW), String(THREADS)];
  const { nll, tokens } = JSON.parse((await run(peersPython(), args)).stdout) as { nll: number; tokens: number };
  return { nll, perplexity: Math.exp(nll), tokens };
}

async function compareFile(path: string, weightType: LoadOptions['weightType'], ourPath = path): Promise<void> {
  const [ours, theirs] = [await ourPerplexity(ourPath, weightType), await llamaPerplexity(path)];
  print({ file: path, weights: weightType, ours, llamaCpp: theirs, ratio: ours.perplexity / theirs.perplexity });
}

/** The first tokens of the i-th stretch of the text. */
function slice(i: number, length: number): number[] {
  return [...ids.subarray(i * 1000, i * 1000 + length)];
}

function prompts(): { logits: number[][]; greedy: number[][]; new_tokens: number } {
  return {
    logits: LOGIT_PROMPTS.map((length, i) => slice(i, length)),
    greedy: Array.from({ length: GREEDY_PROMPTS }, (_, i) => slice(i, GREEDY_PROMPT_TOKENS)),
    new_tokens: NEW_TOKENS,
  };
}

/** The likeliest next tokens of all prompts, step by step, as one batch. */
async function greedyTokens(runner: ModelRunner, starts: readonly number[][]): Promise<number[][]> {
  const blocks = numBlocksFor(GREEDY_PROMPT_TOKENS + NEW_TOKENS);
  const replies: number[][] = starts.map(() => []);
  for (let step = 0; step < NEW_TOKENS; step++) {
    const chunks = starts.map((start, i) => ({
      ids: step === 0 ? start : replies[i]!.slice(-1),
      startPos: step === 0 ? 0 : start.length + step - 1,
      blockIds: Array.from({ length: blocks }, (_, block) => i * blocks + block),
      logits: 'last' as const,
    }));
    for (const [i, logits] of (await runner.run(chunks)).entries()) {
      let best = 0;
      for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
      replies[i]!.push(best);
    }
  }
  return replies;
}

async function compareTransformers(): Promise<void> {
  const folder = await converted('hf', 'f32');
  const asked = prompts();
  const [promptsPath, outPath] = [join(flags.folder, 'prompts.json'), join(flags.folder, 'transformers.safetensors')];
  writeFileSync(promptsPath, JSON.stringify(asked));
  await run(peersPython(), [peerScript('transformers_parity.py'), folder, promptsPath, outPath]);
  const expected = await openSafetensors(outPath);
  const exact = { weightType: 'f32', kvType: 'f32', batch: GREEDY_PROMPTS } as const;
  const runner = await runnerOf(folder, exact);
  for (const [i, prompt] of asked.logits.entries()) {
    const blockIds = Array.from({ length: numBlocksFor(prompt.length) }, (_, block) => block);
    const [given] = await runner.run([{ ids: prompt, startPos: 0, blockIds, logits: 'all' }]);
    const theirs = await expected.read(`logits.${i}`, 'F32');
    const largest = theirs.reduce((most, value, at) => Math.max(most, Math.abs(value - given![at]!)), 0);
    print({ prompt_tokens: prompt.length, largest_logit_difference: largest });
  }
  const replies = await greedyTokens(runner, asked.greedy);
  const theirs = await expected.read('greedy', 'I32');
  const same = replies.map((reply, i) => {
    const differing = reply.findIndex((id, step) => id !== theirs[i * NEW_TOKENS + step]);
    return differing === -1 ? NEW_TOKENS : differing;
  });
  print({ greedy_prompts: same.length, identical: same.filter((n) => n === NEW_TOKENS).length, same_tokens: same });
  await expected.close();
}

const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  transformers: compareTransformers,
  file: () => compareFile(flags.model!, 'stored'),
  types: async () => {
    const folder = await converted('hf', 'f32');
    await compareFile(await converted('gguf', 'q4_0'), 'q4', folder);
    await compareFile(await converted('gguf', 'q8_0'), 'q8', folder);
  },
};
const part = PARTS[flags.part];
if (!part) throw new UsageError(`--part must be one of ${Object.keys(PARTS).join(', ')}, got ${flags.part}`);
await part();
await source.close();
process.exit(0); // threads of the backend keep nothing alive, those of a peer might

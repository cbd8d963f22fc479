/**
 * `cria generate`: continues a prompt, or with --chat answers it.
 */
import { randomInt } from 'node:crypto';
import { Command } from 'commander';
import type { GenerationResult } from '../infer/generation.ts';
import type { GenerationRequest } from '../infer/request.ts';
import type { SamplingParams } from '../infer/sampling-params.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type CommandIo, logLine, printJson } from './io.ts';
import {
  addModelFlags,
  assumedChatFormat,
  decimalNumber,
  type ModelFlags,
  type OpenedModel,
  openModel,
  stopIdsOf,
  wholeNumber,
} from './open-model.ts';

interface Flags extends ModelFlags, SamplingFlags {
  readonly model: string;
  readonly prompt: string;
  readonly chat?: boolean;
  readonly maxTokens?: string;
  readonly json?: boolean;
}

export interface SamplingFlags {
  readonly temperature?: string;
  readonly topP?: string;
  readonly topK?: string;
  readonly seed?: string;
}

const DEFAULT_MAX_TOKENS = 256;

/** The command, not yet run. */
export function generateCommand(io: CommandIo): Command {
  const command = new Command('generate')
    .description('continue a prompt')
    .requiredOption('--model <model>', 'a model folder, .gguf file, training run or nano')
    .requiredOption('--prompt <text>', 'what to continue')
    .option('--chat', "put the prompt into the model's chat format and answer it")
    .option('--max-tokens <n>', `most tokens to generate (default: ${DEFAULT_MAX_TOKENS}, or what the context leaves)`)
    .option('--json', 'print one JSON value on stdout, at the end');
  return addModelFlags(addSamplingFlags(command)).action((flags: Flags) => run(flags, io));
}

/** Adds --temperature, --top-p, --top-k and --seed. */
export function addSamplingFlags(command: Command): Command {
  return command
    .option('--temperature <x>', 'randomness: 0 always takes the most likely token (default: 0.6)')
    .option('--top-p <x>', 'only the most likely tokens that make up this share of the probability (default: 0.9)')
    .option('--top-k <n>', 'only the n most likely tokens')
    .option('--seed <n>', 'the same seed gives the same text');
}

/** The flags' values, checked; what is not given is left out. */
export function samplingOf(flags: SamplingFlags): Partial<SamplingParams> {
  return {
    ...(flags.temperature === undefined ? {} : { temperature: decimalNumber('--temperature', flags.temperature) }),
    ...(flags.topP === undefined ? {} : { topP: decimalNumber('--top-p', flags.topP) }),
    ...(flags.topK === undefined ? {} : { topK: wholeNumber('--top-k', flags.topK, 1) }),
  };
}

/** The seed given, or a random one. */
export function seedOf(flags: SamplingFlags): number {
  return flags.seed === undefined ? randomInt(2 ** 32) : wholeNumber('--seed', flags.seed, 0);
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const startedAt = performance.now();
  const [{ Engine }, { ModelRunner }] = await Promise.all([
    import('../infer/engine.ts'),
    import('../infer/model-runner.ts'),
  ]);
  const sampling = samplingOf(flags);
  const seed = seedOf(flags);
  const maxTokens = flags.maxTokens === undefined ? null : wholeNumber('--max-tokens', flags.maxTokens, 1);
  const opened = await openModel(flags.model, flags, io);
  try {
    const tokenizer = await opened.loadTokenizer();
    const stopIds = stopIdsOf(opened, tokenizer);
    const promptIds = await encodePrompt(flags, opened, tokenizer);
    const model = await opened.load({ wantedContext: promptIds.length + (maxTokens ?? DEFAULT_MAX_TOKENS), batch: 1 });
    const loadMs = performance.now() - startedAt;
    const engine = new Engine(new ModelRunner(model), tokenizer);
    const room = Math.max(1, Math.min(DEFAULT_MAX_TOKENS, model.contextLength - promptIds.length));
    const request = { promptIds, maxTokens: maxTokens ?? room, sampling, seed, stopIds };
    const result = await stream(engine.generate(request), flags, io);
    if (flags.json) printJson(io, jsonOf(result, request, loadMs));
    await engine.dispose();
  } finally {
    await opened.close();
  }
}

async function encodePrompt({ prompt, chat }: Flags, opened: OpenedModel, tokenizer: Tokenizer): Promise<number[]> {
  if (chat) {
    const format = (await opened.chatFormat(tokenizer)) ?? (await assumedChatFormat(tokenizer));
    return format.encode([{ role: 'user', content: prompt }], { addGenerationPrompt: true });
  }
  return tokenizer.encode(prompt, { bos: tokenizer.roles.addsBos });
}

/** Writes the text as it comes, unless one JSON value is wanted at the end. */
async function stream(
  generation: AsyncIterable<{ text: string }> & { result: Promise<GenerationResult> },
  { json }: Flags,
  io: CommandIo,
): Promise<GenerationResult> {
  for await (const { text } of generation) if (!json) io.stdout.write(text);
  const result = await generation.result;
  if (!json) {
    io.stdout.write('\n');
    const { prefillTps, decodeTps } = result.timings;
    logLine(io, `prompt ${prefillTps.toFixed(0)} tokens/s, reply ${decodeTps.toFixed(1)} tokens/s`);
  }
  return result;
}

function jsonOf(result: GenerationResult, { seed }: GenerationRequest, loadMs: number): Record<string, unknown> {
  const { text, ids, finishReason, promptTokens, timings } = result;
  return {
    text,
    ids,
    finish_reason: finishReason,
    seed,
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: ids.length,
      total_tokens: promptTokens + ids.length,
    },
    timings: {
      load_ms: loadMs,
      prefill_ms: timings.prefillMs,
      prefill_tps: timings.prefillTps,
      decode_ms: timings.decodeMs,
      decode_tps: timings.decodeTps,
    },
  };
}

/**
 * `cria generate`: continues a prompt, or with --chat answers it.
 */
import { Command } from 'commander';
import type { GenerationResult } from '../infer/generation.ts';
import type { InferenceModel } from '../infer/model.ts';
import { assumedChatFormat } from '../infer/model-files.ts';
import type { GenerationRequest } from '../infer/request.ts';
import type { Drafter } from '../infer/speculation.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson } from './io.ts';
import { addModelFlags, type ModelFlags, type OpenedModel, openModel, stopIdsOf, wholeNumber } from './open-model.ts';
import { repeatable } from './repeatable.ts';
import { addSamplingFlags, type SamplingFlags, samplingOf, seedOf } from './sampling-flags.ts';

interface Flags extends ModelFlags, SamplingFlags {
  readonly model: string;
  readonly prompt: string;
  readonly chat?: boolean;
  readonly maxTokens?: string;
  readonly stop: readonly string[];
  readonly speculate?: string;
  readonly draftTokens: string;
  readonly json?: boolean;
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
    .addOption(repeatable('--stop <text>', 'end before this text'))
    .option(
      '--speculate <how>',
      'guess tokens ahead: "ngram" from the text so far, or a small model of the same tokenizer',
    )
    .option('--draft-tokens <n>', 'most tokens to guess at once', '4')
    .option('--json', 'print one JSON value on stdout, at the end');
  return addModelFlags(addSamplingFlags(command)).action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const startedAt = performance.now();
  const [{ Engine }, { ModelRunner }, { checkRequest }] = await Promise.all([
    import('../infer/engine.ts'),
    import('../infer/model-runner.ts'),
    import('../infer/request.ts'),
  ]);
  const sampling = samplingOf(flags);
  const seed = seedOf(flags);
  const maxTokens = flags.maxTokens === undefined ? null : wholeNumber('--max-tokens', flags.maxTokens, 1);
  const opened = await openModel(flags.model, flags, io);
  try {
    const tokenizer = await opened.loadTokenizer();
    const stopIds = stopIdsOf(opened, tokenizer);
    const promptIds = await encodePrompt(flags, opened, tokenizer);
    const { vocabSize, maxSeqLen } = opened.checkpoint.config;
    // What is wrong is said before the model is loaded.
    checkRequest(
      { promptIds, maxTokens, sampling, stopStrings: flags.stop },
      { vocabSize, contextLength: maxSeqLen },
      stopIds,
    );
    const model = await opened.load({ wantedContext: promptIds.length + (maxTokens ?? DEFAULT_MAX_TOKENS), batch: 1 });
    const drafter = await openDrafter(flags, model, tokenizer, io);
    const loadMs = performance.now() - startedAt;
    const engine = new Engine(new ModelRunner(model), tokenizer, { drafter });
    const room = Math.max(1, Math.min(DEFAULT_MAX_TOKENS, model.contextLength - promptIds.length));
    const request = { promptIds, maxTokens: maxTokens ?? room, sampling, seed, stopIds, stopStrings: flags.stop };
    const result = await stream(engine.generate(request), flags, io);
    if (flags.json) {
      const speculation = drafter ? { speculation: result.speculation } : {};
      printJson(io, { ...jsonOf(result, request, loadMs), ...speculation });
    }
    await engine.dispose();
  } finally {
    await opened.close();
  }
}

/** What --speculate asks for; null if nothing. */
async function openDrafter(
  flags: Flags,
  { backend, contextLength }: InferenceModel,
  tokenizer: Tokenizer,
  io: CommandIo,
): Promise<Drafter | null> {
  if (flags.speculate === undefined) return null;
  const maxDraftTokens = wholeNumber('--draft-tokens', flags.draftTokens, 1);
  if (flags.speculate === 'ngram') {
    const { NgramDrafter } = await import('../infer/ngram-drafter.ts');
    return new NgramDrafter(maxDraftTokens);
  }
  const [{ ModelDrafter }, { ModelRunner }] = await Promise.all([
    import('../infer/model-drafter.ts'),
    import('../infer/model-runner.ts'),
  ]);
  const opened = await openModel(flags.speculate, { precision: 'auto' }, io);
  try {
    checkSameTokens(await opened.loadTokenizer(), tokenizer, flags.speculate);
    const model = await opened.load({ wantedContext: contextLength, batch: 1, backend });
    return new ModelDrafter(new ModelRunner(model), { maxDraftTokens, vocabSize: tokenizer.vocabSize });
  } finally {
    await opened.close();
  }
}

const PROBE_TEXT = 'The cria (a baby llama) weighed 11.5 kg;\n\tdéjà vu, naïve 東京 🦙 x_1 = {"a": [0]}';

/** Throws UsageError unless both split text alike: guesses are tokens. */
function checkSameTokens(draft: Tokenizer, tokenizer: Tokenizer, name: string): void {
  const isSame =
    draft.vocabSize === tokenizer.vocabSize &&
    String(draft.encode(PROBE_TEXT)) === String(tokenizer.encode(PROBE_TEXT));
  if (!isSame) throw new UsageError(`${name} splits text into other tokens than the model; use one of the same family`);
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
    const { timings, speculation } = result;
    const guesses = speculation.drafted > 0 ? `, ${speculation.accepted} of ${speculation.drafted} guesses right` : '';
    logLine(
      io,
      `prompt ${timings.prefillTps.toFixed(0)} tokens/s, reply ${timings.decodeTps.toFixed(1)} tokens/s${guesses}`,
    );
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

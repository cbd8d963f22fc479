/**
 * `cria pretrain`: trains a model from raw text.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { DryRun } from '../train/dry-run.ts';
import type { PretrainConfig } from '../train/pretrain-config.ts';
import { ConfigError, FormatError, UsageError } from '../util/errors.ts';
import { renderCount, renderDuration } from './format.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import { repeatable } from './repeatable.ts';
import { openTrainingBackend, runPretraining } from './run-pretraining.ts';

interface Options {
  recipe?: string;
  config?: string;
  set: string[];
  out?: string;
  resume?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** The command, not yet run. */
export function pretrainCommand(io: CommandIo): Command {
  return new Command('pretrain')
    .description('train a model from raw text')
    .option('--recipe <name>', 'the configuration to start from')
    .option('--config <file>', 'JSON with values that replace those of the recipe')
    .addOption(repeatable('--set <key=value>', 'replace one value, like train.steps=100'))
    .option('--out <folder>', 'where the run is kept: configuration, logs, checkpoints')
    .option('--resume', 'continue the run in --out, bit for bit, after any interruption')
    .option('--dry-run', 'print the configuration, the first batch with its masks, memory and time, and stop')
    .option('--json', 'print one JSON value on stdout')
    .action((options: Options) => run(options, io));
}

async function run(options: Options, io: CommandIo): Promise<void> {
  const config = await resolveConfig(options);
  if (options.dryRun) return showDryRun(config, options, io);
  const { out, resume: isResumed = false, json } = options;
  if (out === undefined) throw new UsageError('--out is missing; name the folder the run is to be kept in');
  const { step, numTokens, checkpoint, evaluation, seconds } = await runPretraining(config, out, isResumed, io);
  const { steps } = config.train;
  if (step < steps) logLine(io, `stopped after step ${step} of ${steps}; continue with --resume`);
  else logLine(io, `finished in ${renderDuration(seconds)}; the model is in ${checkpoint ?? out}`);
  if (json) printJson(io, { out, checkpoint, step, steps, tokens: numTokens, validation: evaluation, seconds });
}

/** The recipe, or the run that is resumed, with the values that file and flags replace. */
async function resolveConfig({ recipe: name, config: file, set, out, resume }: Options): Promise<PretrainConfig> {
  const [{ recipe, recipeNames }, { pretrainSchema }, overrides, { readRunConfig }] = await Promise.all([
    import('../train/recipes.ts'),
    import('../train/pretrain-config.ts'),
    import('../train/overrides.ts'),
    import('../train/run-folder.ts'),
  ]);
  let config: Readonly<Record<string, unknown>>;
  if (name !== undefined) config = recipe(name);
  else if (resume && out !== undefined) config = readRunConfig(out);
  else throw new UsageError(`--recipe is missing; use one of ${recipeNames.join(', ')}`);
  if (file !== undefined) config = overrides.mergeConfig(config, readJson(file), file);
  for (const assignment of set) config = overrides.applySetting(config, assignment);
  const checked = overrides.checkConfig(pretrainSchema, config, 'configuration');
  const files = checked.data.files.map(absolute);
  const folder = checked.tokenizer.folder === null ? null : absolute(checked.tokenizer.folder);
  return { ...checked, data: { ...checked.data, files }, tokenizer: { ...checked.tokenizer, folder } };
}

/** A path that means the same when the run is resumed from another folder. */
function absolute(path: string): string {
  return path.startsWith('cria:') ? path : resolve(path);
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing) throw new FormatError(`${file}: does not exist; check the path given to --config`, { cause });
    throw new ConfigError(`${file}: is not JSON (${(cause as Error).message})`, { cause });
  }
}

async function showDryRun(config: PretrainConfig, { json }: Options, io: CommandIo): Promise<void> {
  const { backend, peakFlops } = await openTrainingBackend(config, io);
  const { dryRun } = await import('../train/dry-run.ts');
  const result = await dryRun(config, backend, peakFlops, (what) => logLine(io, `${what} ...`));
  if (json) return printJson(io, result);
  const { renderBytes } = await import('../runtime/available-memory.ts');
  printLine(io, JSON.stringify(config, null, 2));
  for (const line of batchLines(result)) printLine(io, line);
  const { memory, estimatedSeconds } = result;
  printLine(
    io,
    `${renderCount(result.numParameters)} parameters; ${renderCount(result.trainTokens)} tokens to train on, ${result.epochs.toFixed(1)} epochs; ` +
      `${renderBytes(memory.stateBytes)} for weights, gradients and moments, ${renderBytes(memory.activationBytes)} for a step; ` +
      (estimatedSeconds === null ? 'time unknown' : `about ${renderDuration(estimatedSeconds)}`),
  );
}

const SHOWN_SEGMENTS = 4;
const SHOWN_TOKENS = 12;

/** The first documents of the first batch: each token with what it predicts, `-` where that does not count. */
function batchLines({ batch }: DryRun): string[] {
  const lines: string[] = ['', `first micro-batch: ${batch.length} documents`];
  for (const { row, start, tokens } of batch.slice(0, SHOWN_SEGMENTS)) {
    const numValid = tokens.filter(({ target }) => target !== null).length;
    lines.push(`row ${row}, tokens ${start} to ${start + tokens.length - 1}, ${numValid} targets:`);
    const shown = [...tokens.slice(0, SHOWN_TOKENS), ...(tokens.length > SHOWN_TOKENS ? tokens.slice(-1) : [])];
    for (const [i, { id, text, target, targetText }] of shown.entries()) {
      if (i === SHOWN_TOKENS) lines.push(`    ... ${tokens.length - SHOWN_TOKENS - 1} more ...`);
      const predicts = target === null ? '-' : `${target} ${JSON.stringify(targetText)}`;
      lines.push(`    ${id} ${JSON.stringify(text)} -> ${predicts}`);
    }
  }
  return [...lines, ''];
}

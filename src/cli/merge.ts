/**
 * `cria merge`: a model with a LoRA adapter merged into its weights.
 */
import { Command } from 'commander';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';
import { checkpointPath } from './open-model.ts';
import { progressLine } from './progress-line.ts';

interface Flags {
  readonly model: string;
  readonly adapter: string;
  readonly to?: string;
  readonly type?: string;
  readonly out: string;
  readonly json?: boolean;
}

/** The command, not yet run. */
export function mergeCommand(io: CommandIo): Command {
  return new Command('merge')
    .description('add a LoRA adapter to the weights of a model and write the result')
    .requiredOption('--model <model>', 'the model that the adapter was trained on')
    .requiredOption('--adapter <path>', 'a folder that PEFT saved, or a Hugging Face id that was pulled')
    .requiredOption('--out <path>', 'a new folder, or a file that ends in .gguf')
    .option('--to <format>', 'hf, gguf, meta or cria (default: hf, or gguf for a file)')
    .option('--type <type>', 'as of cria convert (default: as the model is stored)')
    .option('--json', 'print one JSON value on stdout')
    .action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const [
    { openCheckpoint },
    { convertCheckpoint, CONVERT_FORMATS },
    { openPeftAdapter },
    { mergeAdapter },
    { findModel },
  ] = await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../formats/convert.ts'),
    import('../formats/peft.ts'),
    import('../formats/merge-adapter.ts'),
    import('../formats/find-model.ts'),
  ]);
  const wanted = flags.to ?? (flags.out.endsWith('.gguf') ? 'gguf' : 'hf');
  const to = CONVERT_FORMATS.find((format) => format === wanted);
  if (to === undefined) throw new UsageError(`--to must be one of ${CONVERT_FORMATS.join(', ')}, got ${wanted}`);
  const adapter = await openPeftAdapter(await findModel(flags.adapter, io.env));
  const progress = progressLine(io, 'merged');
  try {
    const checkpoint = await openCheckpoint(await checkpointPath(flags.model, io));
    try {
      if (adapter.baseModel !== null) logLine(io, `the adapter says it was trained on ${adapter.baseModel}`);
      const merged = mergeAdapter(checkpoint, adapter, { keepsType: flags.type === undefined });
      const options = { to, type: flags.type ?? null, onProgress: progress.show };
      const { type } = await convertCheckpoint(merged, flags.out, options);
      progress.end();
      if (flags.json) printJson(io, { out: flags.out, format: to, type, merged_weights: adapter.updates.size });
      else printLine(io, `wrote ${flags.out} (${to}, ${type}), ${adapter.updates.size} weights changed`);
    } finally {
      await checkpoint.close();
    }
  } finally {
    progress.end();
    await adapter.close();
  }
}

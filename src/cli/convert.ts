/**
 * `cria convert`: a checkpoint in another format or type.
 */
import { Command } from 'commander';
import { UsageError } from '../util/errors.ts';
import { type CommandIo, printJson, printLine } from './io.ts';
import { checkpointPath } from './open-model.ts';
import { progressLine } from './progress-line.ts';

interface Flags {
  readonly model: string;
  readonly to: string;
  readonly type?: string;
  readonly out: string;
  readonly json?: boolean;
}

/** The command, not yet run. */
export function convertCommand(io: CommandIo): Command {
  return new Command('convert')
    .description('write a checkpoint in another format, or quantised')
    .requiredOption('--model <model>', 'a model folder, .gguf file, training run, nano or Hugging Face id')
    .requiredOption('--to <format>', "hf, gguf, meta or cria: Meta's layout in safetensors")
    .option('--type <type>', 'f32, f16, bf16; for gguf also q8_0, q4_0, q4_k_m and so on (default: as it is stored)')
    .requiredOption('--out <path>', 'a file for gguf, else a new folder')
    .option('--json', 'print one JSON value on stdout')
    .action((flags: Flags) => run(flags, io));
}

async function run(flags: Flags, io: CommandIo): Promise<void> {
  const [{ openCheckpoint }, { convertCheckpoint, CONVERT_FORMATS }] = await Promise.all([
    import('../formats/open-checkpoint.ts'),
    import('../formats/convert.ts'),
  ]);
  const to = CONVERT_FORMATS.find((format) => format === flags.to);
  if (to === undefined) throw new UsageError(`--to must be one of ${CONVERT_FORMATS.join(', ')}, got ${flags.to}`);
  const checkpoint = await openCheckpoint(await checkpointPath(flags.model, io));
  const progress = progressLine(io, 'converted');
  try {
    const options = { to, type: flags.type ?? null, onProgress: progress.show };
    const { type, hasTokenizer } = await convertCheckpoint(checkpoint, flags.out, options);
    progress.end();
    if (flags.json) return printJson(io, { out: flags.out, format: to, type, has_tokenizer: hasTokenizer });
    printLine(io, `wrote ${flags.out} (${to}, ${type}${hasTokenizer ? '' : ', without a tokenizer'})`);
  } finally {
    progress.end();
    await checkpoint.close();
  }
}

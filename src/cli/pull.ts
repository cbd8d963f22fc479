/**
 * `cria pull`: downloads a model from the Hugging Face hub into the cache that Python's tools share.
 */
import { Command } from 'commander';
import { type CommandIo, printJson, printLine } from './io.ts';
import { progressLine } from './progress-line.ts';

interface Flags {
  readonly json?: boolean;
}

/** The command, not yet run. */
export function pullCommand(io: CommandIo): Command {
  return new Command('pull')
    .description('download a model from the Hugging Face hub; run again, it continues where it stopped')
    .argument('<id>', 'ORG/NAME[@REVISION][:FILE]; the file chooses among several .gguf files')
    .option('--json', 'print one JSON value on stdout')
    .addHelpText(
      'after',
      '\nHF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE mean what they mean in Python.',
    )
    .action((id: string, flags: Flags) => run(id, flags, io));
}

async function run(text: string, { json }: Flags, io: CommandIo): Promise<void> {
  const [{ pullModel }, { requireModelId }, { hubSettings }] = await Promise.all([
    import('../formats/hub.ts'),
    import('../formats/hub-id.ts'),
    import('../formats/hub-settings.ts'),
  ]);
  const id = requireModelId(text);
  const settings = await hubSettings(io.env);
  const progress = progressLine(io, 'downloaded');
  try {
    const { path, commit, files } = await pullModel(id, {
      settings,
      onProgress: ({ file, doneBytes, totalBytes }) => progress.show(file, doneBytes, totalBytes),
    });
    progress.end();
    if (json) return printJson(io, { id: text, path, commit, files });
    printLine(io, `${text} is in ${path}; use it as --model ${text}`);
  } finally {
    progress.end();
  }
}

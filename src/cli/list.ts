/**
 * `cria list`: the models in the cache.
 */
import { Command } from 'commander';
import { renderFileSize } from './format.ts';
import { type CommandIo, logLine, printJson, printLine } from './io.ts';

interface Flags {
  readonly json?: boolean;
}

/** The command, not yet run. */
export function listCommand(io: CommandIo): Command {
  return new Command('list')
    .description('the models that were downloaded from the Hugging Face hub')
    .option('--json', 'print one JSON value on stdout')
    .action((flags: Flags) => run(flags, io));
}

async function run({ json }: Flags, io: CommandIo): Promise<void> {
  const [{ listCachedModels }, { hubSettings }] = await Promise.all([
    import('../formats/hub-cache.ts'),
    import('../formats/hub-settings.ts'),
  ]);
  const { cacheFolder } = await hubSettings(io.env);
  const models = await listCachedModels(cacheFolder);
  if (json) {
    const rows = models.map(({ repo, path, sizeBytes, revisions, isComplete }) => {
      return { id: repo, path, bytes: sizeBytes, revisions, complete: isComplete };
    });
    return printJson(io, rows);
  }
  if (models.length === 0) return logLine(io, `no models in ${cacheFolder}; cria pull ORG/NAME downloads one`);
  const width = Math.max(...models.map(({ repo }) => repo.length));
  for (const { repo, sizeBytes, isComplete } of models) {
    printLine(
      io,
      `${repo.padEnd(width)}  ${renderFileSize(sizeBytes).padStart(9)}${isComplete ? '' : '  not complete'}`,
    );
  }
}

/**
 * `cria remove`: takes a downloaded model off this machine.
 */
import { Command } from 'commander';
import { RunError, UsageError } from '../util/errors.ts';
import { type CommandIo, printJson, printLine } from './io.ts';

interface Flags {
  readonly json?: boolean;
}

/** The command, not yet run. */
export function removeCommand(io: CommandIo): Command {
  return new Command('remove')
    .description('delete a downloaded model with all its revisions')
    .argument('<id>', 'ORG/NAME')
    .option('--json', 'print one JSON value on stdout')
    .action((id: string, flags: Flags) => run(id, flags, io));
}

async function run(text: string, { json }: Flags, io: CommandIo): Promise<void> {
  const [{ removeDownloaded }, { requireModelId }, { hubSettings }] = await Promise.all([
    import('./remove-downloaded.ts'),
    import('../formats/hub-id.ts'),
    import('../formats/hub-settings.ts'),
  ]);
  const { repo } = requireModelId(text);
  if (repo !== text) throw new UsageError(`a model is removed as a whole; write cria remove ${repo}`);
  const { cacheFolder } = await hubSettings(io.env);
  if (!(await removeDownloaded(cacheFolder, repo, io.env))) {
    throw new RunError(`${repo} is not in ${cacheFolder}; cria list shows what is`);
  }
  if (json) printJson(io, { id: repo, removed: true });
  else printLine(io, `removed ${repo}`);
}

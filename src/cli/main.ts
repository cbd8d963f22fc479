/**
 * The command line: one file a command, this file joins them. A command module stays light at its top (it is loaded to print the help)
 * and imports what it needs inside its action.
 */
import { Command, CommanderError } from 'commander';
import { benchCommand } from './bench.ts';
import { chatCommand } from './chat.ts';
import { convertCommand } from './convert.ts';
import { describeError, exitStatus, usageErrorOf } from './exit.ts';
import { generateCommand } from './generate.ts';
import { inspectCommand } from './inspect.ts';
import { type CommandIo, logLine } from './io.ts';
import { listCommand } from './list.ts';
import { logitsCommand } from './logits.ts';
import { mergeCommand } from './merge.ts';
import { packageVersion } from './package-version.ts';
import { perplexityCommand } from './perplexity.ts';
import { planCommand } from './plan.ts';
import { pretrainCommand } from './pretrain.ts';
import { pullCommand } from './pull.ts';
import { removeCommand } from './remove.ts';
import { serveCommand } from './serve.ts';
import { startCommand } from './start.ts';
import { tokenizerCommand } from './tokenizer.ts';

type MakeCommand = (io: CommandIo) => Command;

/** Every command, in the order the help lists them. */
const COMMANDS: readonly MakeCommand[] = [
  startCommand,
  serveCommand,
  chatCommand,
  generateCommand,
  pretrainCommand,
  tokenizerCommand,
  planCommand,
  benchCommand,
  logitsCommand,
  perplexityCommand,
  inspectCommand,
  convertCommand,
  mergeCommand,
  pullCommand,
  listCommand,
  removeCommand,
];

/** The whole program, not yet run. */
export function buildProgram(io: CommandIo, commands: readonly MakeCommand[] = COMMANDS): Command {
  const program = new Command('cria')
    .description('Llama 3 in TypeScript: tokenizer, training, generation and serving.')
    .version(packageVersion())
    .option('--debug', 'print the stack of an error')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => {}, // `main` prints it, once and in its own form
    });
  for (const make of commands) adopt(program, make(io));
  return program;
}

/** Runs one command line; gives the exit status. */
export async function main(
  args: readonly string[],
  io: CommandIo,
  commands: readonly MakeCommand[] = COMMANDS,
): Promise<number> {
  try {
    await buildProgram(io, commands).parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    return report(error, args, io);
  }
}

function report(error: unknown, args: readonly string[], io: CommandIo): number {
  const status = exitStatus(error);
  if (status === 0) return 0;
  const shown = error instanceof CommanderError ? usageErrorOf(error) : error;
  if (args.includes('--debug')) logLine(io, shown instanceof Error ? (shown.stack ?? shown.message) : String(shown));
  logLine(io, `cria: ${describeError(shown)}`);
  return status;
}

/** Adds a command with the program's ways to fail and to print, all the way down. */
function adopt(program: Command, command: Command): void {
  program.addCommand(command);
  const inherit = (parent: Command, child: Command): void => {
    child.copyInheritedSettings(parent);
    for (const grandchild of child.commands) inherit(child, grandchild);
  };
  inherit(program, command);
}

/**
 * Runs the command line inside the test process, with streams of its own.
 */
import { PassThrough, Readable } from 'node:stream';
import type { CommandIo } from '../src/cli/io.ts';
import { main } from '../src/cli/main.ts';

export interface CommandResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Streams that are no terminal, reading `stdin`, and what was written to them so far. */
export function captureIo(
  stdin = '',
  env: CommandIo['env'] = {},
): { io: CommandIo; written: { out: string; err: string } } {
  const written = { out: '', err: '' };
  const sink = (name: 'out' | 'err') => new PassThrough().on('data', (text) => (written[name] += String(text)));
  return { io: { stdin: Readable.from([stdin]), stdout: sink('out'), stderr: sink('err'), env }, written };
}

/** One command line with everything it wrote. */
export async function runCommand(
  args: readonly string[],
  stdin = '',
  env: CommandIo['env'] = {},
): Promise<CommandResult> {
  const { io, written } = captureIo(stdin, env);
  const status = await main(args, io);
  return { status, ...written };
}

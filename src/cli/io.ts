/**
 * Where a command reads and writes: results on stdout, progress and logs on stderr, so that stdout can be piped.
 * Tests pass their own; only `processIo` knows the process.
 */
import type { Readable, Writable } from 'node:stream';

export interface CommandIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The streams and environment of this process. */
export function processIo(): CommandIo {
  return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env };
}

/** One line of result. */
export function printLine(io: CommandIo, line: string): void {
  io.stdout.write(`${line}\n`);
}

/** The one JSON value that `--json` promises. */
export function printJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value)}\n`);
}

/** One line for the person watching; never on stdout. */
export function logLine(io: CommandIo, line: string): void {
  io.stderr.write(`${line}\n`);
}

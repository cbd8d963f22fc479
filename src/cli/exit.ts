/**
 * From an error to the sentence a person reads and the exit status a script reads: 0 success, 1 a failed run, 2 a wrong call.
 */
import { CommanderError } from 'commander';
import { CriaError, UsageError } from '../util/errors.ts';

// Wrong values in what the caller gave: the call is wrong, not the run.
const USAGE_CODES = new Set(['E_USAGE', 'E_CONFIG']);

// Node's own words name a system call and a code; these say what it means.
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; check the path',
  EACCES: 'may not be accessed; check its permissions',
  EPERM: 'may not be accessed; check its permissions',
  EISDIR: 'is a folder, a file is needed',
  ENOTDIR: 'is not a folder',
  ENOSPC: 'cannot be written, the disk is full; free space and try again',
  EROFS: 'cannot be written, the file system is read-only',
  EMFILE: 'cannot be opened, too many files are open',
};

/** The exit status of a command that ended with this error. */
export function exitStatus(error: unknown): 0 | 1 | 2 {
  if (error instanceof CommanderError) return error.exitCode === 0 || error.code === 'commander.help' ? 0 : 2;
  return error instanceof CriaError && USAGE_CODES.has(error.code) ? 2 : 1;
}

/** One sentence that says what is wrong and what to do. */
export function describeError(error: unknown): string {
  if (error instanceof CriaError && error.code !== 'E_INTERNAL') return error.message;
  const { code, path, message } = (error ?? {}) as NodeJS.ErrnoException;
  const meaning = code === undefined ? undefined : SYSTEM_ERRORS[code];
  if (meaning !== undefined && path !== undefined) return `${path} ${meaning}`;
  if (code === 'ENOSPC') return 'the disk is full; free space and try again';
  return `this is a bug in cria: ${message ?? String(error)}; run the command again with --debug and report what it prints`;
}

/** A UsageError from what commander has to say, as one sentence. */
export function usageErrorOf(error: CommanderError): UsageError {
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new UsageError(`${message}; --help shows what can be given`, { cause: error });
}

/**
 * Files of one JSON value a line, read and answered line by line, keeping up with a slow reader.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { FormatError } from '../util/errors.ts';
import type { CommandIo } from './io.ts';

export interface JsonLine {
  readonly value: unknown;
  /** File and line, for errors. */
  readonly where: string;
}

/** The values of a file, or of stdin for `-`; throws a FormatError that names the line that is no JSON. */
export async function* readJsonLines(file: string, io: CommandIo): AsyncGenerator<JsonLine> {
  const input = file === '-' ? io.stdin : await openLines(file);
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number++;
    const where = `${file}: line ${number}`;
    if (line.trim() !== '') yield { value: parse(line, where), where };
  }
}

/** Writes one line, and waits where the reader is behind. */
export async function writeJsonLine(value: object, io: CommandIo): Promise<void> {
  const written = io.stdout.write(`${JSON.stringify(value)}\n`);
  if (!written) await new Promise((resolve) => io.stdout.once('drain', resolve));
}

async function openLines(file: string): Promise<Readable> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new FormatError(`${file}: ${missing ? 'does not exist; check the path' : 'cannot be opened'}`, { cause });
  }
  if (!(await handle.stat()).isDirectory()) return handle.createReadStream();
  await handle.close();
  throw new FormatError(`${file}: is a folder; give a file of one JSON object a line`);
}

function parse(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON; each line must be one object`, { cause });
  }
}

/**
 * JSON from a file nobody vouches for: size, nesting and number of values are bounded before JSON.parse sees it.
 * A 100 MB header of "[[[[..." or "[0,0,0,..." would otherwise cost gigabytes.
 */
import { z } from 'zod';
import { FormatError } from '../util/errors.ts';
import { FileReader } from './file-reader.ts';

export interface JsonBounds {
  readonly maxDepth: number;
  /** Upper bound for objects + arrays + members. */
  readonly maxItems: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Parses UTF-8 JSON; `where` names the file in the FormatError. */
export function parseBoundedJson(bytes: Uint8Array, bounds: JsonBounds, where: string): unknown {
  checkBounds(bytes, bounds, where);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new FormatError(`${where}: is not valid JSON (${(error as Error).message.slice(0, 120)})`, { cause: error });
  }
}

/** Reads and parses a JSON file of at most `maxBytes`. */
export async function readBoundedJsonFile(path: string, bounds: JsonBounds, maxBytes: number): Promise<unknown> {
  const reader = await FileReader.open(path);
  try {
    if (reader.size > maxBytes)
      throw new FormatError(`${path}: is larger (${reader.size} bytes) than ${maxBytes} bytes`);
    return parseBoundedJson(await reader.read(0, reader.size), bounds, path);
  } finally {
    await reader.close();
  }
}

/** Validates a parsed value; a mismatch is a FormatError that lists the first problems with their paths. */
export function checkSchema<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.map(String).join('.').slice(0, 80) || '(top)'}: ${issue.message.slice(0, 200)}`);
  throw new FormatError(`${where}: ${problems.join('; ')}`);
}

function checkBounds(bytes: Uint8Array, bounds: JsonBounds, where: string): void {
  let depth = 0;
  let items = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x2c) items++;
    else if (byte === 0x5b || byte === 0x7b) {
      items++;
      if (++depth > bounds.maxDepth) throw new FormatError(`${where}: JSON is nested deeper than ${bounds.maxDepth}`);
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  if (items > bounds.maxItems) throw new FormatError(`${where}: JSON holds more than ${bounds.maxItems} values`);
}

/**
 * Cuts training texts into pieces and counts the different ones.
 */
import { ByteTable } from './byte-table.ts';
import type { Scanner } from './scanner.ts';
import { Utf8Scratch } from './utf8.ts';
import { FormatError } from '../util/errors.ts';

/** Different pieces and how often each occurs; `counts[i]` belongs to entry i of `pieces`. */
export type PieceCounts = { pieces: ByteTable; counts: number[] };

/** Counts the pieces of all texts; refuses binary input and input without any text. */
export function countPieces(texts: Iterable<string>, scan: Scanner): PieceCounts {
  const pieces = new ByteTable();
  const counts: number[] = [];
  const scratch = new Utf8Scratch();
  let textNumber = 0;
  for (const text of texts) {
    textNumber++;
    refuseBinary(text, textNumber);
    const utf8 = scratch.encode(text);
    for (let pos = 0; pos < utf8.length;) {
      const end = scan(utf8.bytes, pos, utf8.length);
      const piece = pieces.findOrAdd(utf8, pos, end);
      counts[piece] = (counts[piece] ?? 0) + 1;
      pos = end;
    }
  }
  if (pieces.size === 0) {
    throw new FormatError('The training text is empty; give at least one file or text with something in it.');
  }
  return { pieces, counts };
}

function refuseBinary(text: string, textNumber: number): void {
  const at = text.indexOf('\0');
  if (at < 0) return;
  throw new FormatError(
    `Training text ${textNumber} is binary: it holds a NUL character at ${at}; give plain UTF-8 text files only.`,
  );
}

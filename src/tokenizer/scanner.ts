/**
 * What the pre-tokenising scanners share: their type and runs of one class of code points in UTF-8.
 */
import { codePointClasses, NUMBER } from './code-point-classes.ts';
import { codePointAt, sequenceLength } from './utf8.ts';

/** End of the piece that starts at `pos < end` of well-formed UTF-8. The text ends at `end`: look-ahead sees nothing beyond. */
export type Scanner = (bytes: Uint8Array, pos: number, end: number) => number;

const CLASSES = codePointClasses();
const NUM_ASCII = 0x80;
const NOT_ASCII = 255;
// Class of the ASCII characters, by byte: the fast path needs 256 bytes of cache.
const BYTE_CLASSES = new Uint8Array(256).fill(NOT_ASCII);
BYTE_CLASSES.set(CLASSES.subarray(0, NUM_ASCII));

/** Class of the code point that starts at `pos`. */
export function classAt(bytes: Uint8Array, pos: number): number {
  const kind = BYTE_CLASSES[bytes[pos]!]!;
  return kind === NOT_ASCII ? CLASSES[codePointAt(bytes, pos)]! : kind;
}

/** End of the run of code points of class `kind` that starts at `pos`; `pos` itself if there is none. */
export function runEnd(bytes: Uint8Array, pos: number, end: number, kind: number): number {
  for (;;) {
    while (pos < end && BYTE_CLASSES[bytes[pos]!] === kind) pos++;
    if (pos >= end || bytes[pos]! < NUM_ASCII || CLASSES[codePointAt(bytes, pos)] !== kind) return pos;
    pos += sequenceLength(bytes[pos]!);
  }
}

/** End of at most `max` numbers from `pos`. */
export function numbersEnd(bytes: Uint8Array, pos: number, end: number, max: number): number {
  for (let i = 0; i < max && pos < end && classAt(bytes, pos) === NUMBER; i++) pos += sequenceLength(bytes[pos]!);
  return pos;
}

/**
 * One byte per code point that says what the pre-tokenising scanners need to know of it.
 * Knows nothing about patterns. Source of the classes: unicode-ranges.ts.
 */
import { LETTER_RANGES, NUMBER_RANGES, WHITE_SPACE_RANGES } from './unicode-ranges.ts';

/** Neither letter nor number nor white space: punctuation, symbols, marks, controls, unassigned. */
export const OTHER = 0;
export const LETTER = 1;
export const NUMBER = 2;
/** White space except line feed and carriage return. */
export const SPACE = 3;
/** Line feed or carriage return. */
export const NEWLINE = 4;

const NUM_CODE_POINTS = 0x110000;
let classes: Uint8Array | null = null;

/** Class of every code point, built at the first call and shared: callers must not write to it. */
export function codePointClasses(): Uint8Array {
  if (classes === null) {
    classes = new Uint8Array(NUM_CODE_POINTS);
    fillRanges(classes, LETTER_RANGES, LETTER);
    fillRanges(classes, NUMBER_RANGES, NUMBER);
    fillRanges(classes, WHITE_SPACE_RANGES, SPACE);
    classes[0x0a] = NEWLINE;
    classes[0x0d] = NEWLINE;
  }
  return classes;
}

/** The code points of one of the tables in unicode-ranges.ts. */
export function codePointsOf(ranges: string): number[] {
  const points: number[] = [];
  forEachRange(ranges, (first, end) => {
    for (let c = first; c < end; c++) points.push(c);
  });
  return points;
}

function fillRanges(target: Uint8Array, ranges: string, value: number): void {
  forEachRange(ranges, (first, end) => target.fill(value, first, end));
}

function forEachRange(ranges: string, visit: (first: number, end: number) => void): void {
  let end = 0;
  for (const range of ranges.split(' ')) {
    const [gap, more] = range.split('+');
    const first = end + parseInt(gap!, 36);
    end = first + 1 + (more === undefined ? 0 : parseInt(more, 36));
    visit(first, end);
  }
}

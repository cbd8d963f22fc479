/**
 * Sets of characters as ranges of Unicode code points, and their UTF-8 bytes as an expression. Surrogates are no characters: they have
 * no UTF-8 (RFC 3629).
 */
import type { Expression, ExpressionTable } from './expression.ts';

/** Inclusive ranges in order, none touching the next. */
export type CodePoints = readonly (readonly [number, number])[];

export const MAX_CODE_POINT = 0x10ffff;

/** Every character. */
export const ANY_CHARACTER: CodePoints = [
  [0, 0xd7ff],
  [0xe000, MAX_CODE_POINT],
];

/** Ranges in any order, put in order and joined, without surrogates. */
export function codePoints(ranges: readonly (readonly [number, number])[]): CodePoints {
  const sorted = ranges.filter(([low, high]) => low <= high).toSorted((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [low, high] of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return intersectionOf(joined, ANY_CHARACTER);
}

/** The characters of a text. */
export function charactersOf(text: string): CodePoints {
  return codePoints(Array.from(text, (character) => [character.codePointAt(0)!, character.codePointAt(0)!] as const));
}

/** Characters of both sets. */
export function intersectionOf(a: CodePoints, b: CodePoints): CodePoints {
  const both: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const low = Math.max(a[i]![0], b[j]![0]);
    const high = Math.min(a[i]![1], b[j]![1]);
    if (low <= high) both.push([low, high]);
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return both;
}

/** Characters of neither. */
export function complementOf(set: CodePoints): CodePoints {
  const gaps: [number, number][] = [];
  let next = 0;
  for (const [low, high] of set) {
    gaps.push([next, low - 1]);
    next = high + 1;
  }
  return codePoints([...gaps, [next, MAX_CODE_POINT]]);
}

/** Characters of `a` that are not in `b`. */
export function differenceOf(a: CodePoints, b: CodePoints): CodePoints {
  return intersectionOf(a, complementOf(b));
}

/** Whether a set has a character. */
export function hasCodePoint(set: CodePoints, codePoint: number): boolean {
  return set.some(([low, high]) => low <= codePoint && codePoint <= high);
}

/** One character of a set, in UTF-8. */
export function characterExpression(table: ExpressionTable, set: CodePoints): Expression {
  const options: Expression[] = [];
  for (const [low, high] of set) {
    for (const [first, last] of SAME_LENGTH) {
      const from = Math.max(low, first);
      const to = Math.min(high, last);
      if (from <= to) options.push(bytesBetween(table, utf8(from), utf8(to)));
    }
  }
  return table.choice(...options);
}

const SAME_LENGTH = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xffff],
  [0x10000, MAX_CODE_POINT],
] as const;

function utf8(codePoint: number): readonly number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(codePoint))];
}

/** Byte strings from `low` to `high` in the order of bytes, both of the same length and UTF-8. */
function bytesBetween(table: ExpressionTable, low: readonly number[], high: readonly number[]): Expression {
  const [first, ...lowRest] = low as [number, ...number[]];
  const [last, ...highRest] = high as [number, ...number[]];
  if (lowRest.length === 0) return table.byteRange(first, last);
  if (first === last) return table.sequence(table.byteRange(first, first), bytesBetween(table, lowRest, highRest));
  const lowest = lowRest.map(() => 0x80);
  const highest = lowRest.map(() => 0xbf);
  const any = table.sequence(...lowRest.map(() => table.byteRange(0x80, 0xbf)));
  return table.choice(
    table.sequence(table.byteRange(first, first), bytesBetween(table, lowRest, highest)),
    first + 1 <= last - 1 ? table.sequence(table.byteRange(first + 1, last - 1), any) : table.never,
    table.sequence(table.byteRange(last, last), bytesBetween(table, lowest, highRest)),
  );
}

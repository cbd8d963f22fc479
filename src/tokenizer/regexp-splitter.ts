/**
 * Pre-tokenising by regular expressions, for patterns that no scanner was written for: exact, but slower, and without
 * a scanner's promise of linear time.
 */
import { translateRegExp } from './regexp-translation.ts';

/** One step of splitting: cut at every match; what lies between the matches is kept as pieces, or dropped. */
export type SplitStage = { pattern: string; dropsUnmatched: boolean; where: string };

/** Splits text into pieces, each stage cutting the pieces of the one before. */
export function regExpSplitter(stages: readonly SplitStage[]): (text: string) => string[] {
  const compiled = stages.map(({ pattern, dropsUnmatched, where }) => ({
    pattern: translateRegExp(pattern, where),
    dropsUnmatched,
  }));
  return (text) => {
    // Matching by code points needs well-formed text; bytes are made from this form anyway.
    let pieces = [text.replace(/\p{Surrogate}/gu, '\ufffd')];
    for (const { pattern, dropsUnmatched } of compiled) {
      pieces = pieces.flatMap((piece) => splitAt(piece, pattern, dropsUnmatched));
    }
    return pieces;
  };
}

function splitAt(text: string, pattern: RegExp, dropsUnmatched: boolean): string[] {
  const pieces: string[] = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > done && !dropsUnmatched) pieces.push(text.slice(done, match.index));
    if (match[0] !== '') pieces.push(match[0]);
    done = match.index + match[0].length;
  }
  if (done < text.length && !dropsUnmatched) pieces.push(text.slice(done));
  return pieces;
}

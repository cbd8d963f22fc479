/**
 * Pre-tokenising by regular expressions, for patterns that no scanner was written for: exact, but slower, and without
 * a scanner's promise of linear time: what could take exponential time is refused when it is read, but an expression may take time
 * quadratic in its text, so whoever can bounds it.
 */
import { FormatError } from '../util/errors.ts';
import { translateRegExp } from './regexp-translation.ts';

/** One step of splitting: cut at every match; what lies between the matches is kept as pieces, or dropped. */
export type SplitStage = { pattern: string; dropsUnmatched: boolean; where: string };

/** Runs `work` and gives its result; null if it was not done after so long. JavaScript alone cannot, the platform may. */
export type RunBounded = <T>(work: () => T, milliseconds: number) => { result: T } | null;

const unbounded: RunBounded = (work) => ({ result: work() });

/** Published patterns take less than a thousandth of this. */
const boundMilliseconds = (text: string): number => 2000 + text.length / 100;

/** Splits text into pieces, each stage cutting the pieces of the one before; throws a FormatError if that takes unreasonably long, or could. */
export function regExpSplitter(
  stages: readonly SplitStage[],
  runBounded: RunBounded = unbounded,
): (text: string) => string[] {
  const compiled = stages.map(({ pattern, dropsUnmatched, where }) => ({
    pattern: translateRegExp(pattern, where),
    dropsUnmatched,
  }));
  const split = (text: string): string[] => {
    // Matching by code points needs well-formed text; bytes are made from this form anyway.
    let pieces = [text.replace(/\p{Surrogate}/gu, '\ufffd')];
    for (const { pattern, dropsUnmatched } of compiled) {
      pieces = pieces.flatMap((piece) => splitAt(piece, pattern, dropsUnmatched));
    }
    return pieces;
  };
  return (text) => {
    const pieces = runBounded(() => nullOnOverflow(() => split(text)), boundMilliseconds(text))?.result;
    if (pieces) return pieces;
    throw new FormatError(
      `${stages[0]!.where}: the regular expressions of this tokenizer take too long or too much memory for a text of ${text.length} characters; ` +
        'use a tokenizer with a GPT-2 or Llama 3 pattern.',
    );
  };
}

/** The matcher's stack of choices has a limit, which repeated groups reach in texts of megabytes. */
function nullOnOverflow<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
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

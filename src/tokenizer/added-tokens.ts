/**
 * Tokens that are matched in text before anything else: special ones, and words that were added to a vocabulary.
 * Leftmost first, the longest of those that start at one place. Source of the flags: Hugging Face tokenizers AddedToken.
 */
import { WHITE_SPACE_RANGES } from './unicode-ranges.ts';
import { codePointsOf } from './code-point-classes.ts';

export type AddedToken = {
  id: number;
  content: string;
  /** Special tokens in text stay text unless asked for; the others are always matched. */
  isSpecial: boolean;
  /** The token takes the white space before it (Hugging Face: lstrip). */
  takesSpaceBefore: boolean;
  /** The token takes the white space after it (rstrip). */
  takesSpaceAfter: boolean;
  /** Matched after all tokens without this flag (normalized). */
  isNormalized: boolean;
};

/** A special token with no flags. */
export function specialToken(content: string, id: number): AddedToken {
  return { id, content, isSpecial: true, takesSpaceBefore: false, takesSpaceAfter: false, isNormalized: false };
}

/** Part of a text, [start, end) in UTF-16 units: one added token, or text without any (`id` null, never empty). */
export type Segment = { start: number; end: number; id: number | null };

export class AddedTokenSplitter {
  readonly #passes: readonly { pattern: RegExp; tokens: ReadonlyMap<string, AddedToken> }[];

  constructor(tokens: readonly AddedToken[]) {
    this.#passes = [tokens.filter((token) => !token.isNormalized), tokens.filter((token) => token.isNormalized)]
      .filter((pass) => pass.length > 0)
      .map((pass) => ({
        pattern: alternation(pass.map((token) => token.content)),
        tokens: new Map(pass.map((token) => [token.content, token])),
      }));
  }

  /** Segments of a text, in order. */
  split(text: string): Segment[] {
    let segments: Segment[] = text === '' ? [] : [{ start: 0, end: text.length, id: null }];
    for (const { pattern, tokens } of this.#passes) {
      segments = segments.flatMap((segment) =>
        segment.id === null ? splitSegment(text, segment, pattern, tokens) : [segment],
      );
    }
    return segments;
  }
}

const SPACES = `[${codePointsOf(WHITE_SPACE_RANGES)
  .map((c) => `\\u{${c.toString(16)}}`)
  .join('')}]*`;
const LEADING_SPACES = new RegExp(`^${SPACES}`, 'u');
const TRAILING_SPACES = new RegExp(`(?<!${SPACES.slice(0, -1)})${SPACES}$`, 'u');

function splitSegment(
  text: string,
  segment: Segment,
  pattern: RegExp,
  tokens: ReadonlyMap<string, AddedToken>,
): Segment[] {
  const parts: Segment[] = [];
  const within = text.slice(segment.start, segment.end);
  let done = 0;
  for (const match of within.matchAll(pattern)) {
    const token = tokens.get(match[0])!;
    let start = match.index;
    let end = start + match[0].length;
    if (start < done) continue; // swallowed as white space by the token before
    if (token.takesSpaceBefore) start -= TRAILING_SPACES.exec(within.slice(done, start))![0].length;
    if (token.takesSpaceAfter) end += LEADING_SPACES.exec(within.slice(end))![0].length;
    if (start > done) parts.push({ start: segment.start + done, end: segment.start + start, id: null });
    parts.push({ start: segment.start + start, end: segment.start + end, id: token.id });
    done = end;
  }
  if (done < within.length) parts.push({ start: segment.start + done, end: segment.end, id: null });
  return parts;
}

function alternation(contents: readonly string[]): RegExp {
  const longestFirst = contents.toSorted((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'gu');
}

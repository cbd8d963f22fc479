/**
 * GPT-2's pre-tokenising pattern as a scanner over UTF-8, one piece a call, no backtracking:
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Sources: openai/gpt-2 src/encoder.py; the variant with digits apart is Hugging Face's Digits before ByteLevel, as in SmolLM2.
 */
import { LETTER, NEWLINE, NUMBER, OTHER, SPACE } from './code-point-classes.ts';
import { contractionEnd } from './contraction.ts';
import { classAt, runEnd } from './scanner.ts';
import { sequenceLength } from './utf8.ts';

/** Scanner of GPT-2's pattern. */
export function scanGpt2(bytes: Uint8Array, pos: number, end: number): number {
  return scan(bytes, pos, end, false);
}

/** Scanner that first sets every digit apart and then splits what is between digits by GPT-2's pattern. */
export function scanGpt2SingleDigits(bytes: Uint8Array, pos: number, end: number): number {
  return scan(bytes, pos, end, true);
}

function scan(bytes: Uint8Array, pos: number, end: number, singleDigits: boolean): number {
  const lead = bytes[pos]!;
  const kind = classAt(bytes, pos);
  if (kind === LETTER) return runEnd(bytes, pos, end, LETTER);
  const second = pos + sequenceLength(lead);
  if (kind === NUMBER) return singleDigits ? second : runEnd(bytes, pos, end, NUMBER);
  if (kind === OTHER) {
    const contraction = lead === 0x27 ? contractionEnd(bytes, pos, end, false) : pos;
    return contraction > pos ? contraction : runEnd(bytes, second, end, OTHER);
  }
  if (lead === 0x20 && second < end) {
    const secondKind = classAt(bytes, second);
    const joinsSpace = secondKind === LETTER || secondKind === OTHER || (secondKind === NUMBER && !singleDigits);
    if (joinsSpace) return runEnd(bytes, second, end, secondKind);
  }
  return whiteSpaceEnd(bytes, pos, end, singleDigits);
}

// \s+(?!\S)|\s+ ; a digit that stands apart ends the text, so that no white space is left over before it.
function whiteSpaceEnd(bytes: Uint8Array, pos: number, end: number, singleDigits: boolean): number {
  let at = pos;
  let lastStart = pos;
  for (; at < end; at += sequenceLength(bytes[at]!)) {
    const kind = classAt(bytes, at);
    if (kind !== SPACE && kind !== NEWLINE)
      return lastStart === pos || (singleDigits && kind === NUMBER) ? at : lastStart;
    lastStart = at;
  }
  return at;
}

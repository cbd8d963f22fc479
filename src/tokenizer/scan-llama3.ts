/**
 * Llama 3's pre-tokenising pattern as a scanner over UTF-8, one piece a call, no backtracking:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * Source: meta-llama/llama3 llama/tokenizer.py pat_str.
 */
import { LETTER, NEWLINE, NUMBER, OTHER, SPACE } from './code-point-classes.ts';
import { contractionEnd } from './contraction.ts';
import { classAt, numbersEnd, runEnd } from './scanner.ts';
import { sequenceLength } from './utf8.ts';

/** Scanner of Llama 3's pattern: up to three digits make a piece. */
export function scanLlama3(bytes: Uint8Array, pos: number, end: number): number {
  return scan(bytes, pos, end, 3);
}

/** Scanner of Qwen 2's pattern, which has \p{N} in place of \p{N}{1,3}. */
export function scanQwen2(bytes: Uint8Array, pos: number, end: number): number {
  return scan(bytes, pos, end, 1);
}

function scan(bytes: Uint8Array, pos: number, end: number, maxDigits: number): number {
  const lead = bytes[pos]!;
  const kind = classAt(bytes, pos);
  if (kind === LETTER) return runEnd(bytes, pos, end, LETTER);
  if (kind === NUMBER) return numbersEnd(bytes, pos, end, maxDigits);
  const second = pos + sequenceLength(lead);
  if (second === end) return end;
  const secondKind = classAt(bytes, second);
  if (secondKind === LETTER && kind !== NEWLINE) {
    const contraction = lead === 0x27 ? contractionEnd(bytes, pos, end, true) : pos;
    return contraction > pos ? contraction : runEnd(bytes, second, end, LETTER);
  }
  if (kind === OTHER || (lead === 0x20 && secondKind === OTHER)) return symbolsEnd(bytes, second, end);
  return whiteSpaceEnd(bytes, pos, end);
}

// [^\s\p{L}\p{N}]+[\r\n]*
function symbolsEnd(bytes: Uint8Array, pos: number, end: number): number {
  let at = runEnd(bytes, pos, end, OTHER);
  while (at < end && (bytes[at] === 0x0a || bytes[at] === 0x0d)) at++;
  return at;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
function whiteSpaceEnd(bytes: Uint8Array, pos: number, end: number): number {
  let at = pos;
  let lastStart = pos;
  let newlinesEnd = pos;
  while (at < end) {
    const kind = classAt(bytes, at);
    if (kind !== SPACE && kind !== NEWLINE) break;
    lastStart = at;
    at += sequenceLength(bytes[at]!);
    if (kind === NEWLINE) newlinesEnd = at;
  }
  if (newlinesEnd > pos) return newlinesEnd;
  return at === end || lastStart === pos ? at : lastStart;
}

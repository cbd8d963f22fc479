/**
 * Llama 3's pre-tokenising pattern as a scanner over UTF-8, one piece a call, no backtracking:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * Source: meta-llama/llama3 llama/tokenizer.py pat_str. Each branch below names the alternative it stands for.
 */
import { codePointClasses, LETTER, NEWLINE, NUMBER, OTHER, SPACE } from './code-point-classes.ts';
import { contractionEnd } from './contraction.ts';
import { codePointAt, sequenceLength } from './utf8.ts';

/** End of the piece that starts at `pos < end` of well-formed UTF-8. The text ends at `end`: look-ahead sees nothing beyond. */
export type Scanner = (bytes: Uint8Array, pos: number, end: number) => number;

/** Scanner of Llama 3's pattern; with `maxDigits` 1 it is Qwen 2's, which differs in `\p{N}` alone. */
export function llama3Scanner(maxDigits: number): Scanner {
  const classes = codePointClasses();

  function classAt(bytes: Uint8Array, pos: number): number {
    const lead = bytes[pos]!;
    return classes[lead < 0x80 ? lead : codePointAt(bytes, pos)]!;
  }

  function runEnd(bytes: Uint8Array, pos: number, end: number, wanted: number): number {
    while (pos < end) {
      const lead = bytes[pos]!;
      if (lead < 0x80) {
        if (classes[lead] !== wanted) return pos;
        pos++;
      } else {
        if (classes[codePointAt(bytes, pos)] !== wanted) return pos;
        pos += sequenceLength(lead);
      }
    }
    return end;
  }

  function digitsEnd(bytes: Uint8Array, pos: number, end: number): number {
    for (let i = 0; i < maxDigits && pos < end && classAt(bytes, pos) === NUMBER; i++) {
      pos += sequenceLength(bytes[pos]!);
    }
    return pos;
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

  return (bytes, pos, end) => {
    const lead = bytes[pos]!;
    const kind = classAt(bytes, pos);
    if (kind === LETTER) return runEnd(bytes, pos, end, LETTER);
    if (kind === NUMBER) return digitsEnd(bytes, pos, end);
    const second = pos + sequenceLength(lead);
    if (second === end) return end;
    if (lead === 0x27) {
      const contraction = contractionEnd(bytes, pos, end, true);
      if (contraction > pos) return contraction;
    }
    const secondKind = classAt(bytes, second);
    if (secondKind === LETTER && kind !== NEWLINE) return runEnd(bytes, second, end, LETTER);
    if (kind === OTHER) return symbolsEnd(bytes, second, end);
    if (lead === 0x20 && secondKind === OTHER) return symbolsEnd(bytes, second, end);
    return whiteSpaceEnd(bytes, pos, end);
  };
}

/**
 * Hides parts of texts from a template: names of special tokens, so that they can be told from those that the template writes,
 * and characters that JavaScript and Python disagree on whether to strip. Each is replaced by characters found nowhere else.
 */

export interface ContentMask {
  /** A text masked; what is stripped from its ends is what Python strips. */
  hide(text: string): string;
  /** A copy of a JSON value with every string in it masked; for values that a template writes as JSON. */
  hideIn(value: unknown): unknown;
  /** The text before it was masked. */
  restore(masked: string): string;
  /** The same, with a function from a place in the restored text to the place in the masked text. */
  restoreWithPlaces(masked: string): { text: string; placeOf: (place: number) => number };
}

const PRIVATE_USE = 0xf0000; // Plane 15: the masks of names and of U+FEFF
const PRIVATE_USE_END = 0xffffe;
// Python strips these, JavaScript's trim does not; their masks are made of characters that both strip.
const ONLY_PYTHON_STRIPS = ['\u0085', '\u001c', '\u001d', '\u001e', '\u001f'];
const ONLY_JAVASCRIPT_STRIPS = '\ufeff';

/** Mask for `names` in conversations that hold no characters but those of `allText`. */
export function contentMask(names: readonly string[], allText: string): ContentMask {
  // JSON writes characters of plane 15 as they are, so a search in it sees them.
  let next = PRIVATE_USE;
  const unusedChar = () => {
    while (next < PRIVATE_USE_END && allText.includes(String.fromCodePoint(next))) next++;
    return String.fromCodePoint(next++);
  };
  const masks = new Map<string, string>();
  for (const name of names) masks.set(name, unusedChar());
  masks.set(ONLY_JAVASCRIPT_STRIPS, unusedChar());
  const numLineMarks = Math.max(0, ...(allText.match(/\u2028+/g) ?? []).map((run) => run.length)) + 1;
  for (const [i, char] of ONLY_PYTHON_STRIPS.entries()) {
    masks.set(char, `\u1680${'\u2028'.repeat(numLineMarks + i)}\u1680`);
  }
  const originals = new Map([...masks].map(([original, mask]) => [mask, original]));
  const hiding = alternation([...masks.keys()]);
  const hidingInJson = alternation([...names, ONLY_JAVASCRIPT_STRIPS]); // JSON writes control characters as escapes
  const restoring = alternation([...originals.keys()]);
  const mask = (text: string, pattern: RegExp) => text.replace(pattern, (found) => masks.get(found)!);

  const hideIn = (value: unknown): unknown => {
    if (typeof value === 'string') return mask(value, hidingInJson);
    if (Array.isArray(value)) return value.map(hideIn);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [mask(key, hidingInJson), hideIn(item)]));
  };
  return {
    hide: (text) => mask(text, hiding),
    hideIn,
    restore: (masked) => masked.replace(restoring, (found) => originals.get(found)!),
    restoreWithPlaces: (masked) => restoreWithPlaces(masked, restoring, originals),
  };
}

function restoreWithPlaces(
  masked: string,
  restoring: RegExp,
  originals: ReadonlyMap<string, string>,
): { text: string; placeOf: (place: number) => number } {
  let text = '';
  let done = 0;
  const shifts: { place: number; original: number; mask: number }[] = []; // in the restored text
  for (const match of masked.matchAll(restoring)) {
    text += masked.slice(done, match.index);
    const original = originals.get(match[0])!;
    shifts.push({ place: text.length, original: original.length, mask: match[0].length });
    text += original;
    done = match.index + match[0].length;
  }
  text += masked.slice(done);
  const placeOf = (place: number) => {
    let moved = place;
    for (const shift of shifts) {
      if (shift.place >= place) break;
      moved += shift.place + shift.original <= place ? shift.mask - shift.original : shift.place - place;
    }
    return moved;
  };
  return { text, placeOf };
}

function alternation(texts: readonly string[]): RegExp {
  const longestFirst = texts.toSorted((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'gu');
}

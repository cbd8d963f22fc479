/**
 * Finds special tokens inside text: leftmost first, the longest of those that start at one place.
 */

export type TextSegment = { text: string; start: number; specialId: number | null };

/** Cuts text at every name of `names`; the texts between are segments with `specialId` null and are never empty. */
export class SpecialSplitter {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #pattern: RegExp | null;

  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
    const longestFirst = [...ids.keys()].toSorted((a, b) => b.length - a.length);
    this.#pattern = longestFirst.length === 0 ? null : new RegExp(longestFirst.map(escapeRegExp).join('|'), 'g');
  }

  split(text: string): TextSegment[] {
    if (this.#pattern === null) return text === '' ? [] : [{ text, start: 0, specialId: null }];
    const segments: TextSegment[] = [];
    let done = 0;
    for (const match of text.matchAll(this.#pattern)) {
      if (match.index > done) segments.push({ text: text.slice(done, match.index), start: done, specialId: null });
      segments.push({ text: match[0], start: match.index, specialId: this.#ids.get(match[0])! });
      done = match.index + match[0].length;
    }
    if (done < text.length) segments.push({ text: text.slice(done), start: done, specialId: null });
    return segments;
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

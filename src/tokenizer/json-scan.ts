/**
 * Finds the ends of JSON values in text that may not be complete. Looks at brackets and quotes only: whether the text is valid JSON is
 * for JSON.parse to say.
 */

/** Follows one value that begins with a bracket or a quote, piece by piece. */
export class JsonValueScanner {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #isDone = false;

  /** Whether the value has ended. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** How much of `text`, the next piece, belongs to the value. */
  push(text: string): number {
    let at = 0;
    for (; at < text.length && !this.#isDone; at++) this.#step(text[at]!);
    return at;
  }

  #step(character: string): void {
    if (this.#isEscaped) {
      this.#isEscaped = false;
    } else if (this.#isInString) {
      if (character === '\\') this.#isEscaped = true;
      else if (character === '"') this.#isInString = false;
      this.#isDone = !this.#isInString && !this.#isEscaped && this.#depth === 0;
    } else if (character === '"') {
      this.#isInString = true;
    } else if (character === '{' || character === '[') {
      this.#depth++;
    } else if (character === '}' || character === ']') {
      this.#isDone = --this.#depth <= 0;
    }
  }
}

/** End of the value that begins at `start`, null if the text does not hold all of it. A number may go on, so it ends only before something else. */
export function jsonValueEnd(text: string, start: number): number | null {
  const first = text[start];
  if (first === undefined) return null;
  if ('{["'.includes(first)) {
    const scanner = new JsonValueScanner();
    const length = scanner.push(text.slice(start));
    return scanner.isDone ? start + length : null;
  }
  const end = text.slice(start).search(/[\s,}\]]/);
  return end < 0 ? null : start + end;
}

/** First place from `start` on that is no white space. */
export function skipJsonSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && ' \t\n\r'.includes(text[at]!)) at++;
  return at;
}

/**
 * Text of a reply as its tokens come: whole characters only, and nothing that may turn out to be the beginning of a stop string.
 */
import type { StreamDecoder } from '../tokenizer/tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

/** Turns tokens into text until a stop string appears. */
export class TextStream {
  readonly #decoder: Pick<StreamDecoder, 'push' | 'flush'>;
  readonly #stopStrings: readonly string[];
  #heldBack = '';
  #isStopped = false;

  constructor(decoder: Pick<StreamDecoder, 'push' | 'flush'>, stopStrings: readonly string[]) {
    if (stopStrings.includes('')) throw new ConfigError('a stop string must have at least one character');
    this.#decoder = decoder;
    this.#stopStrings = stopStrings;
  }

  /** True once a stop string has appeared; it and what follows are not part of the text. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Text that is certain with this token. */
  push(id: number): string {
    return this.#release(this.#decoder.push(id), (text) => text.length - this.#possibleStopLength(text));
  }

  /** What was held back, when no more tokens come. */
  flush(): string {
    return this.#release(this.#decoder.flush(), (text) => text.length);
  }

  #release(fresh: string, certainLength: (text: string) => number): string {
    if (this.#isStopped) return '';
    const text = this.#heldBack + fresh;
    const starts = this.#stopStrings.map((stop) => text.indexOf(stop)).filter((at) => at !== -1);
    this.#isStopped = starts.length > 0;
    const length = this.#isStopped ? Math.min(...starts) : certainLength(text);
    this.#heldBack = text.slice(length);
    return text.slice(0, length);
  }

  /** Length of the longest end of `text` with which a stop string begins. */
  #possibleStopLength(text: string): number {
    let longest = 0;
    for (const stop of this.#stopStrings) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (stop.startsWith(text.slice(text.length - length))) longest = length;
      }
    }
    return longest;
  }
}

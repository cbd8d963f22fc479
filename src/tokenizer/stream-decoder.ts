/**
 * Text of a stream of tokens, in whole characters only.
 */

/** What decoding needs of a tokenizer. */
export interface TokenTexts {
  tokenBytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  readonly dropsLeadingSpace: boolean;
}

export class StreamDecoder {
  readonly #tokens: TokenTexts;
  readonly #skipSpecial: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #isStart = true;

  constructor(tokens: TokenTexts, skipSpecial: boolean) {
    this.#tokens = tokens;
    this.#skipSpecial = skipSpecial;
  }

  /** Text that became complete with this token, '' while a character is unfinished. */
  push(id: number): string {
    if (this.#skipSpecial && this.#tokens.isSpecial(id)) return '';
    let bytes = this.#tokens.tokenBytes(id);
    if (bytes.length === 0) return '';
    if (this.#isStart && this.#tokens.dropsLeadingSpace && bytes[0] === 0x20) bytes = bytes.subarray(1);
    this.#isStart = false;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What an unfinished character at the end of the stream turns into: U+FFFD or ''. The next push starts anew. */
  flush(): string {
    this.#isStart = true;
    return this.#decoder.decode();
  }
}

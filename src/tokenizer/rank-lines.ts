/**
 * The lines "base64 rank" of tiktoken's vocabulary format, read without making a string of each.
 */
import { READ_AHEAD_BYTES, type Utf8Text } from './utf8.ts';
import { FormatError } from '../util/errors.ts';

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BLANK = 0x20;
const ZERO = 0x30;
const PADDING = 0x3d;
const NO_DIGIT = 255;
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const DIGITS = new Uint8Array(256).fill(NO_DIGIT);
for (let i = 0; i < BASE64.length; i++) DIGITS[BASE64.charCodeAt(i)] = i;

/** Steps through the lines of a file; after `next()` the fields hold the line's contents. */
export class RankLineReader {
  readonly #file: Uint8Array;
  #pos = 0;
  line = 0;
  rank = 0;
  /** The token's bytes are `token.bytes[0..tokenLength)`. */
  readonly token: Utf8Text;
  tokenLength = 0;

  constructor(file: Uint8Array) {
    this.#file = file;
    const bytes = new Uint8Array(file.length + READ_AHEAD_BYTES);
    this.token = { bytes, view: new DataView(bytes.buffer), length: file.length };
  }

  /** Reads a line; false at the end of the file. */
  next(): boolean {
    const file = this.#file;
    if (this.#pos >= file.length) return false;
    this.line++;
    this.#readToken();
    if (this.tokenLength === 0 || file[this.#pos] !== BLANK) throw badLine(this.line);
    this.#pos++;
    this.#readRank();
    if (file[this.#pos] === RETURN) this.#pos++;
    if (this.#pos < file.length && file[this.#pos++] !== NEWLINE) throw badLine(this.line);
    return true;
  }

  #readToken(): void {
    const file = this.#file;
    const { bytes } = this.token;
    let at = this.#pos;
    let length = 0;
    let bits = 0;
    let numBits = 0;
    for (; at < file.length; at++) {
      const digit = DIGITS[file[at]!]!;
      if (digit === NO_DIGIT) break;
      bits = ((bits << 6) | digit) & 0xffff;
      numBits += 6;
      if (numBits < 8) continue;
      numBits -= 8;
      bytes[length++] = bits >> numBits;
    }
    while (file[at] === PADDING) at++;
    this.tokenLength = length;
    this.#pos = at;
  }

  #readRank(): void {
    const file = this.#file;
    let at = this.#pos;
    let rank = 0;
    for (; at < file.length; at++) {
      const digit = file[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      rank = rank * 10 + digit;
    }
    if (at === this.#pos) throw badLine(this.line);
    this.rank = rank;
    this.#pos = at;
  }
}

/** Error for a line that is not what the format says. */
export function badLine(line: number): FormatError {
  return new FormatError(
    `Line ${line} of the tokenizer file is not "base64 rank" with ranks ascending; ` +
      "it must be a tokenizer.model in tiktoken's format (Llama 2's SentencePiece file is not).",
  );
}

/** Bytes in base64. */
export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += BASE64[word >> 18]! + BASE64[(word >> 12) & 63]!;
    text += i + 1 < bytes.length ? BASE64[(word >> 6) & 63]! : '=';
    text += i + 2 < bytes.length ? BASE64[word & 63]! : '=';
  }
  return text;
}

/**
 * UTF-8 in a reused buffer, and the two steps of reading it that the scanners take.
 * A lone surrogate becomes U+FFFD, as in tiktoken.
 */

const encoder = new TextEncoder();
// A BOM is a character of the text like any other.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

const SCRATCH_BYTES = 1 << 18;
const MAX_BYTES_PER_UNIT = 3;

/** Encodes texts one after another; the bytes of one call are overwritten by the next. */
export class Utf8Scratch {
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  bytes: Uint8Array = this.#scratch;
  length = 0;

  /** Puts the UTF-8 form of `text` into `bytes[0..length)`. */
  write(text: string): void {
    if (text.length * MAX_BYTES_PER_UNIT <= SCRATCH_BYTES) {
      this.bytes = this.#scratch;
      this.length = encoder.encodeInto(text, this.#scratch).written;
    } else {
      this.bytes = encoder.encode(text);
      this.length = this.bytes.length;
    }
  }

  /** Lets go of a buffer that one long text needed. */
  release(): void {
    this.bytes = this.#scratch;
  }
}

/** UTF-8 bytes of a text, in an array of their own. */
export function utf8Encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes; each maximal ill-formed part becomes one U+FFFD. */
export function utf8Decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Code point that starts at `pos`, of well-formed UTF-8. */
export function codePointAt(bytes: Uint8Array, pos: number): number {
  const lead = bytes[pos]!;
  if (lead < 0x80) return lead;
  if (lead < 0xe0) return ((lead & 0x1f) << 6) | (bytes[pos + 1]! & 0x3f);
  if (lead < 0xf0) return ((lead & 0x0f) << 12) | ((bytes[pos + 1]! & 0x3f) << 6) | (bytes[pos + 2]! & 0x3f);
  const high = ((lead & 0x07) << 18) | ((bytes[pos + 1]! & 0x3f) << 12);
  return high | ((bytes[pos + 2]! & 0x3f) << 6) | (bytes[pos + 3]! & 0x3f);
}

/** Number of bytes of the character whose first byte is `lead`. */
export function sequenceLength(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

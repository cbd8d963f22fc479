/**
 * UTF-8 in a reused buffer, and the two steps of reading it that the scanners take.
 * A lone surrogate becomes U+FFFD, as in tiktoken.
 */

const encoder = new TextEncoder();
// A BOM is a character of the text like any other.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

const SCRATCH_BYTES = 1 << 18;
const MAX_BYTES_PER_UNIT = 3;
/** Bytes that may be read after the end of a text, whatever they hold: lookups read words. */
export const READ_AHEAD_BYTES = 8;

/** UTF-8 in `bytes[0..length)`, with READ_AHEAD_BYTES more behind; `view` is over the same memory. */
export type Utf8Text = { readonly bytes: Uint8Array; readonly view: DataView; readonly length: number };

/** Encodes texts one after another; a short text's bytes are overwritten by the next. */
export class Utf8Scratch {
  readonly #bytes = new Uint8Array(SCRATCH_BYTES + READ_AHEAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  /** UTF-8 form of `text`, valid until the next call. */
  encode(text: string): Utf8Text {
    if (text.length * MAX_BYTES_PER_UNIT <= SCRATCH_BYTES) {
      return { bytes: this.#bytes, view: this.#view, length: encoder.encodeInto(text, this.#bytes).written };
    }
    const exact = encoder.encode(text);
    const bytes = new Uint8Array(exact.length + READ_AHEAD_BYTES);
    bytes.set(exact);
    return { bytes, view: new DataView(bytes.buffer), length: exact.length };
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

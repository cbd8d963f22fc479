/**
 * The printable characters that stand for bytes in the vocabulary files of byte-level tokenizers.
 * Source: openai/gpt-2 src/encoder.py bytes_to_unicode.
 */

const CHAR_OF_BYTE: string[] = [];
const BYTE_OF_CHAR = new Map<string, number>();

let numMoved = 0;
for (let byte = 0; byte < 256; byte++) {
  const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const char = String.fromCharCode(isPrintable ? byte : 256 + numMoved++);
  CHAR_OF_BYTE.push(char);
  BYTE_OF_CHAR.set(char, byte);
}

/** Bytes as the characters that stand for them. */
export function bytesToAlphabet(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += CHAR_OF_BYTE[byte]!;
  return text;
}

/** Bytes that a string of such characters stands for, or null if one of them stands for no byte. */
export function alphabetToBytes(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = BYTE_OF_CHAR.get(text[i]!);
    if (byte === undefined) return null;
    bytes[i] = byte;
  }
  return bytes;
}

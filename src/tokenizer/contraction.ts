/**
 * The alternative 's|'t|'re|'ve|'m|'ll|'d that GPT-2's and Llama 3's patterns share.
 */

const LOWER = 0x20; // ASCII letters: setting this bit makes them lower case

/** End of the contraction that starts with the apostrophe at `pos`, or `pos` if there is none. */
export function contractionEnd(bytes: Uint8Array, pos: number, end: number, ignoreCase: boolean): number {
  if (pos + 1 >= end) return pos;
  const bit = ignoreCase ? LOWER : 0;
  const first = bytes[pos + 1]!;
  switch (first | bit) {
    case 0x73: // s
    case 0x74: // t
    case 0x6d: // m
    case 0x64: // d
      return pos + 2;
    case 0x72: // re
    case 0x76: // ve
      return pos + 2 < end && (bytes[pos + 2]! | bit) === 0x65 ? pos + 3 : pos;
    case 0x6c: // ll
      return pos + 2 < end && (bytes[pos + 2]! | bit) === 0x6c ? pos + 3 : pos;
    default:
      // U+017F, the long s, is an s when case is ignored: Unicode simple case folding.
      return ignoreCase && first === 0xc5 && bytes[pos + 2] === 0xbf ? pos + 3 : pos;
  }
}

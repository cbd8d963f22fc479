/**
 * Sets of bytes as 256 bits.
 */

/** Bit `b & 31` of word `b >>> 5` tells whether byte b belongs. */
export type ByteSet = Uint32Array;

const WORDS = 8;

/** The bytes of some inclusive ranges. */
export function byteSet(...ranges: readonly (readonly [number, number])[]): ByteSet {
  const set = new Uint32Array(WORDS);
  for (const [low, high] of ranges) for (let byte = low; byte <= high; byte++) set[byte >>> 5]! |= 1 << (byte & 31);
  return set;
}

/** The bytes of either set. */
export function unionOfBytes(a: ByteSet, b: ByteSet): ByteSet {
  return a.map((word, i) => word | b[i]!);
}

/** Whether a byte belongs. */
export function hasByte(set: ByteSet, byte: number): boolean {
  return ((set[byte >>> 5]! >>> (byte & 31)) & 1) === 1;
}

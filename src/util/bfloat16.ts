/**
 * bfloat16 (the upper half of a float32) to and from float32 over arrays, held as 16 bits in a Uint16Array.
 * Rounding is to nearest, ties to even; NaN stays NaN (quiet), overflow becomes infinity.
 */

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

/** The bfloat16 nearest to `value`, as bits. */
export function bfloat16Bits(value: number): number {
  f32[0] = value;
  return roundToBfloat(bits[0]!);
}

/** Rounds every element of `source` to bfloat16; `target` has the same length. */
export function f32ToBf16(source: Float32Array, target: Uint16Array): void {
  const words = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0; i < words.length; i++) target[i] = roundToBfloat(words[i]!);
}

/** Widens every bfloat16 of `source`; `target` has the same length. Exact. */
export function bf16ToF32(source: Uint16Array, target: Float32Array): void {
  const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < source.length; i++) words[i] = source[i]! << 16;
}

function roundToBfloat(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

/**
 * IEEE 754 half precision (binary16) to and from float32 over arrays; halves are held as their 16 bits in a Uint16Array.
 * Node 20 has no Float16Array. Rounding is to nearest, ties to even; NaN stays NaN, overflow becomes infinity.
 */

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

let decodeTable: Float32Array | null = null;

/** The 65,536 half values as float32, indexed by their bits (built on first use, 256 KiB). */
export function float16Table(): Float32Array {
  if (decodeTable !== null) return decodeTable;
  const table = new Float32Array(0x10000);
  const tableBits = new Uint32Array(table.buffer);
  for (let half = 0; half < 0x10000; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      table[half] = mantissa * 2 ** -24;
      tableBits[half]! |= sign;
    } else {
      const wide = exponent === 31 ? 0xff : exponent + 112; // bias 127 - 15
      tableBits[half] = sign | (wide << 23) | (mantissa << 13);
    }
  }
  decodeTable = table;
  return table;
}

/** The half nearest to `value`, as bits. */
export function float16Bits(value: number): number {
  f32[0] = value;
  return roundToHalf(bits[0]!);
}

/** The value of a half given as bits. */
export function float16Value(half: number): number {
  return float16Table()[half]!;
}

/** Rounds every element of `source` to a half; `target` has the same length. */
export function f32ToF16(source: Float32Array, target: Uint16Array): void {
  const words = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0; i < words.length; i++) target[i] = roundToHalf(words[i]!);
}

/** Widens every half of `source`; `target` has the same length. Exact. */
export function f16ToF32(source: Uint16Array, target: Float32Array): void {
  const table = float16Table();
  for (let i = 0; i < source.length; i++) target[i] = table[source[i]!]!;
}

function roundToHalf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x47800000) {
    if (magnitude <= 0x7f800000) return sign | 0x7c00;
    return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff); // quiet NaN, payload kept
  }
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - 0x38000000; // exponent bias 127 -> 15
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13); // a carry into the exponent is correct
  }
  if (magnitude <= 0x33000000) return sign; // up to 2^-25: ties to even, zero
  // Subnormal half: adding 0.5 lets float32 rounding drop exactly the bits below 2^-24.
  bits[0] = magnitude;
  f32[0] = f32[0]! + 0.5;
  return sign | (bits[0]! - 0x3f000000);
}

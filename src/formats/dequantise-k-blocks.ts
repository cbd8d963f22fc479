/**
 * ggml's block types of 256 values ("K-quants" and IQ4_XS) to float32, bit for bit as the reference computes in float32.
 * Layouts: llama.cpp ggml/src/ggml-common.h (block_q2_K ... block_iq4_xs); arithmetic: gguf-py quants.py.
 *
 * A block is split into 8 or 16 groups with a small scale each; one half-precision factor scales the scales.
 */
import { halfAt, IQ4_LEVELS } from './dequantise-small-blocks.ts';

const VALUES = 256;
const { fround } = Math;

/** 84 bytes: 16 x (4-bit scale, 4-bit minimum), 256 x 2 bits, factor of the scales, factor of the minimums. */
export function decodeQ2K(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 84, out += VALUES) {
    const factor = halfAt(bytes, at + 80);
    const minFactor = halfAt(bytes, at + 82);
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group]!;
      const scale = fround(factor * (packed & 15));
      const min = fround(minFactor * (packed >> 4));
      const start = at + 16 + twoBitStart(group);
      const shift = twoBitShift(group);
      for (let i = 0; i < 16; i++) {
        target[out + group * 16 + i] = fround(scale * ((bytes[start + i]! >> shift) & 3)) - min;
      }
    }
  }
}

/** Two-bit values of group g (16 values): 128 values share 32 bytes, 32 of them per bit pair. */
function twoBitStart(group: number): number {
  return (group >> 3) * 32 + (group & 1) * 16;
}

function twoBitShift(group: number): number {
  return ((group >> 1) & 3) * 2;
}

/** 110 bytes: 256 high bits, 256 x 2 low bits, 16 x 6-bit scales (biased by 32), factor. */
export function decodeQ3K(bytes: Uint8Array, target: Float32Array): void {
  const scales = new Int8Array(16);
  for (let at = 0, out = 0; at < bytes.length; at += 110, out += VALUES) {
    const factor = halfAt(bytes, at + 108);
    unpackQ3KScales(bytes, at + 96, scales);
    for (let group = 0; group < 16; group++) {
      const scale = fround(factor * scales[group]!);
      const low = at + 32 + twoBitStart(group);
      const high = at + (group & 1) * 16;
      const shift = twoBitShift(group);
      for (let i = 0; i < 16; i++) {
        const highBit = (bytes[high + i]! >> (group >> 1)) & 1;
        target[out + group * 16 + i] = scale * (((bytes[low + i]! >> shift) & 3) - (highBit === 1 ? 0 : 4));
      }
    }
  }
}

/** 16 six-bit scales in 12 bytes: low nibbles in the first 8, pairs of high bits in the last 4. */
function unpackQ3KScales(bytes: Uint8Array, at: number, scales: Int8Array): void {
  for (let group = 0; group < 16; group++) {
    const low = (bytes[at + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
    const high = (bytes[at + 8 + (group & 3)]! >> ((group >> 2) * 2)) & 3;
    scales[group] = (low | (high << 4)) - 32;
  }
}

/** 8 six-bit scales and 8 six-bit minimums in the 12 bytes at `at` (`get_scale_min_k4`). */
function unpackQ4KScales(bytes: Uint8Array, at: number, scales: Uint8Array, mins: Uint8Array): void {
  for (let group = 0; group < 4; group++) {
    const first = bytes[at + group]!;
    const second = bytes[at + 4 + group]!;
    const third = bytes[at + 8 + group]!;
    scales[group] = first & 63;
    mins[group] = second & 63;
    scales[group + 4] = (third & 15) | ((first >> 6) << 4);
    mins[group + 4] = (third >> 4) | ((second >> 6) << 4);
  }
}

/** 144 bytes: factor of the scales, of the minimums, 8 x (6-bit scale, 6-bit minimum), 256 nibbles. */
export function decodeQ4K(bytes: Uint8Array, target: Float32Array): void {
  const [scales, mins] = [new Uint8Array(8), new Uint8Array(8)];
  for (let at = 0, out = 0; at < bytes.length; at += 144, out += VALUES) {
    const factor = halfAt(bytes, at);
    const minFactor = halfAt(bytes, at + 2);
    unpackQ4KScales(bytes, at + 4, scales, mins);
    for (let group = 0; group < 8; group++) {
      const scale = fround(factor * scales[group]!);
      const min = fround(minFactor * mins[group]!);
      const start = at + 16 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        target[out + group * 32 + i] = fround(scale * ((bytes[start + i]! >> shift) & 15)) - min;
      }
    }
  }
}

/** 176 bytes: as Q4_K with 256 fifth bits before the nibbles. */
export function decodeQ5K(bytes: Uint8Array, target: Float32Array): void {
  const [scales, mins] = [new Uint8Array(8), new Uint8Array(8)];
  for (let at = 0, out = 0; at < bytes.length; at += 176, out += VALUES) {
    const factor = halfAt(bytes, at);
    const minFactor = halfAt(bytes, at + 2);
    unpackQ4KScales(bytes, at + 4, scales, mins);
    for (let group = 0; group < 8; group++) {
      const scale = fround(factor * scales[group]!);
      const min = fround(minFactor * mins[group]!);
      const low = at + 48 + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const level = ((bytes[low + i]! >> shift) & 15) | (((bytes[at + 16 + i]! >> group) & 1) << 4);
        target[out + group * 32 + i] = fround(scale * level) - min;
      }
    }
  }
}

/** 210 bytes: 256 low nibbles, 256 x 2 high bits, 16 signed scales, factor; biased by 32. */
export function decodeQ6K(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 210, out += VALUES) {
    const factor = halfAt(bytes, at + 208);
    for (let group = 0; group < 16; group++) {
      const scale = fround(factor * ((bytes[at + 192 + group]! << 24) >> 24));
      const half = group >> 3;
      const quarter = (group >> 1) & 3; // 32 values
      const low = at + half * 64 + (quarter & 1) * 32 + (group & 1) * 16;
      const lowShift = (quarter >> 1) * 4;
      const high = at + 128 + half * 32 + (group & 1) * 16;
      for (let i = 0; i < 16; i++) {
        const level = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> (quarter * 2)) & 3) << 4);
        target[out + group * 16 + i] = scale * (level - 32);
      }
    }
  }
}

/** 136 bytes: factor, 8 x 2 high bits and 8 x 4 low bits of scales (biased by 32), 256 indices of levels. */
export function decodeIq4Xs(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 136, out += VALUES) {
    const factor = halfAt(bytes, at);
    const highBits = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let group = 0; group < 8; group++) {
      const low = (bytes[at + 4 + (group >> 1)]! >> ((group & 1) * 4)) & 15;
      const scale = fround(factor * ((low | (((highBits >> (group * 2)) & 3) << 4)) - 32));
      for (let i = 0; i < 16; i++) {
        const pair = bytes[at + 8 + group * 16 + i]!;
        target[out + group * 32 + i] = scale * IQ4_LEVELS[pair & 15]!;
        target[out + group * 32 + i + 16] = scale * IQ4_LEVELS[pair >> 4]!;
      }
    }
  }
}

/**
 * ggml's block types of 32 values to float32, bit for bit as the reference computes in float32.
 * Layouts: llama.cpp ggml/src/ggml-common.h (block_q4_0 ... block_iq4_nl); arithmetic: gguf-py quants.py.
 */
import { float16Table } from '../util/float16.ts';

const VALUES = 32;
const { fround } = Math;

/** The 16 levels of IQ4_NL and IQ4_XS (`kvalues_iq4nl`). */
export const IQ4_LEVELS = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** The half-precision number at `offset`. */
export function halfAt(bytes: Uint8Array, offset: number): number {
  return float16Table()[bytes[offset]! | (bytes[offset + 1]! << 8)]!;
}

/** 18 bytes: scale, 32 nibbles biased by 8; values i and i + 16 share a byte. */
export function decodeQ40(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 18, out += VALUES) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!;
      target[out + i] = scale * ((pair & 15) - 8);
      target[out + i + 16] = scale * ((pair >> 4) - 8);
    }
  }
}

/** 20 bytes: scale, minimum, 32 nibbles. */
export function decodeQ41(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 20, out += VALUES) {
    const scale = halfAt(bytes, at);
    const min = halfAt(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i]!;
      target[out + i] = fround(scale * (pair & 15)) + min;
      target[out + i + 16] = fround(scale * (pair >> 4)) + min;
    }
  }
}

/** Bit `i` of the 32 fifth bits stored at `offset`, as 16 or 0. */
function fifthBit(bytes: Uint8Array, offset: number, i: number): number {
  return ((bytes[offset + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

/** 22 bytes: scale, 32 fifth bits, 32 nibbles; biased by 16. */
export function decodeQ50(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 22, out += VALUES) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i]!;
      target[out + i] = scale * (((pair & 15) | fifthBit(bytes, at + 2, i)) - 16);
      target[out + i + 16] = scale * (((pair >> 4) | fifthBit(bytes, at + 2, i + 16)) - 16);
    }
  }
}

/** 24 bytes: scale, minimum, 32 fifth bits, 32 nibbles. */
export function decodeQ51(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 24, out += VALUES) {
    const scale = halfAt(bytes, at);
    const min = halfAt(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 8 + i]!;
      target[out + i] = fround(scale * ((pair & 15) | fifthBit(bytes, at + 4, i))) + min;
      target[out + i + 16] = fround(scale * ((pair >> 4) | fifthBit(bytes, at + 4, i + 16))) + min;
    }
  }
}

/** 34 bytes: scale, 32 signed bytes. */
export function decodeQ80(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 34, out += VALUES) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < VALUES; i++) target[out + i] = scale * ((bytes[at + 2 + i]! << 24) >> 24);
  }
}

/** 18 bytes: scale, 32 indices of levels. */
export function decodeIq4Nl(bytes: Uint8Array, target: Float32Array): void {
  for (let at = 0, out = 0; at < bytes.length; at += 18, out += VALUES) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!;
      target[out + i] = scale * IQ4_LEVELS[pair & 15]!;
      target[out + i + 16] = scale * IQ4_LEVELS[pair >> 4]!;
    }
  }
}

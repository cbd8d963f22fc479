/**
 * Float32 to ggml's block types of 32 values, byte for byte as the reference quantises in float32.
 * Source: gguf-py quants.py (`quantize_blocks`), which equals ggml-quants.c `quantize_row_*_ref`.
 */
import { float16Bits } from '../util/float16.ts';

const VALUES = 32;
const { fround } = Math;

/** Stores `value` as a half-precision number at `at`. */
export function putHalf(target: Uint8Array, at: number, value: number): void {
  const bits = float16Bits(value);
  target[at] = bits & 255;
  target[at + 1] = bits >> 8;
}

/** 1 / scale in float32, and 0 for a scale of 0. */
function inverse(scale: number): number {
  return scale === 0 ? 0 : fround(1 / scale);
}

/** The value of largest magnitude in a block of 32, with its sign; the first of several. */
export function extreme(values: Float32Array, from: number): number {
  let found = values[from]!;
  for (let i = 1; i < VALUES; i++) {
    if (Math.abs(values[from + i]!) > Math.abs(found)) found = values[from + i]!;
  }
  return found;
}

/** C's roundf: to nearest, ties away from zero. */
function roundAwayFromZero(value: number): number {
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(0.5 + value);
}

/** Fills `target` with blocks of 34 bytes. */
export function encodeQ80(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 34) {
    const scale = fround(Math.abs(extreme(values, from)) / 127);
    const toLevel = inverse(scale);
    putHalf(target, at, scale);
    for (let i = 0; i < VALUES; i++) target[at + 2 + i] = roundAwayFromZero(fround(values[from + i]! * toLevel));
  }
}

/** Levels of a symmetric type: the value of largest magnitude becomes level 0, zero becomes `-bias`. */
function symmetricLevel(value: number, toLevel: number, bias: number): number {
  return Math.min(2 * bias - 1, Math.trunc(fround(fround(value * toLevel) + (bias + 0.5))));
}

/** Fills `target` with blocks of 18 bytes. */
export function encodeQ40(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 18) {
    const scale = fround(extreme(values, from) / -8);
    const toLevel = inverse(scale);
    putHalf(target, at, scale);
    for (let i = 0; i < 16; i++) {
      const low = symmetricLevel(values[from + i]!, toLevel, 8);
      target[at + 2 + i] = low | (symmetricLevel(values[from + i + 16]!, toLevel, 8) << 4);
    }
  }
}

/** Fills `target` with blocks of 22 bytes. */
export function encodeQ50(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 22) {
    const scale = fround(extreme(values, from) / -16);
    const toLevel = inverse(scale);
    putHalf(target, at, scale);
    for (let i = 0; i < 16; i++) {
      const low = symmetricLevel(values[from + i]!, toLevel, 16);
      putFiveBits(target, at + 2, i, low, symmetricLevel(values[from + i + 16]!, toLevel, 16));
    }
  }
}

/** Stores levels i and i + 16: their low nibbles share a byte, their fifth bits lie in the 4 bytes at `at`. */
function putFiveBits(target: Uint8Array, at: number, i: number, low: number, high: number): void {
  if (i === 0) target.fill(0, at, at + 4);
  target[at + 4 + i] = (low & 15) | ((high & 15) << 4);
  target[at + (i >> 3)]! |= (low >> 4) << (i & 7);
  target[at + 2 + (i >> 3)]! |= (high >> 4) << (i & 7);
}

/** Smallest value and distance between levels of an asymmetric type with levels 0 to `maxLevel`. */
function range(values: Float32Array, from: number, maxLevel: number): { min: number; scale: number } {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < VALUES; i++) {
    const value = values[from + i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, scale: fround(fround(max - min) / maxLevel) };
}

function levelAbove(value: number, min: number, toLevel: number, maxLevel: number): number {
  return Math.min(maxLevel, Math.trunc(fround(fround(fround(value - min) * toLevel) + 0.5)));
}

/** Fills `target` with blocks of 20 bytes. */
export function encodeQ41(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 20) {
    const { min, scale } = range(values, from, 15);
    const toLevel = inverse(scale);
    putHalf(target, at, scale);
    putHalf(target, at + 2, min);
    for (let i = 0; i < 16; i++) {
      const low = levelAbove(values[from + i]!, min, toLevel, 15);
      target[at + 4 + i] = low | (levelAbove(values[from + i + 16]!, min, toLevel, 15) << 4);
    }
  }
}

/** Fills `target` with blocks of 24 bytes. */
export function encodeQ51(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 24) {
    const { min, scale } = range(values, from, 31);
    const toLevel = inverse(scale);
    putHalf(target, at, scale);
    putHalf(target, at + 2, min);
    for (let i = 0; i < 16; i++) {
      const low = levelAbove(values[from + i]!, min, toLevel, 31);
      putFiveBits(target, at + 4, i, low, levelAbove(values[from + i + 16]!, min, toLevel, 31));
    }
  }
}

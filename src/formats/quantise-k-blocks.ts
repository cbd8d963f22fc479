/**
 * Float32 to ggml's block types of 256 values: Q4_K, Q5_K and Q6_K. Layouts: llama.cpp ggml/src/ggml-common.h.
 *
 * Which values matter more is llama.cpp's heuristic: weights grow with magnitude (ggml-quants.c).
 * Each group gets its scale (and minimum) from a search; these are themselves quantised with one factor per block,
 * and then every group picks, among the neighbours of its quantised numbers, those with the least error.
 */
import { float16Bits, float16Value } from '../util/float16.ts';
import {
  fitAffine,
  fitSymmetric,
  nearestLevel,
  storedError,
  WeightedGroup,
  type AffineFit,
} from './quantise-search.ts';
import { putHalf } from './quantise-small-blocks.ts';

const VALUES = 256;
const GROUPS = 8;
const GROUP = 32;
const MAX_SCALE = 63; // six bits

/** The numbers of one Q4_K or Q5_K block. */
class AffineBlock {
  factor = 0;
  minFactor = 0;
  readonly scales = new Uint8Array(GROUPS);
  readonly mins = new Uint8Array(GROUPS);
  readonly levels = new Uint8Array(VALUES);
  readonly #groups = Array.from({ length: GROUPS }, () => new WeightedGroup(GROUP));

  fit(values: Float32Array, from: number, maxLevel: number): void {
    const fits = this.#groups.map((group, index) => {
      group.load(values, from + index * GROUP, 1, 1);
      return fitAffine(group, maxLevel);
    });
    this.factor = asHalf(fits.reduce((largest, fit) => Math.max(largest, fit.scale), 0) / MAX_SCALE);
    this.minFactor = asHalf(fits.reduce((largest, fit) => Math.max(largest, fit.min), 0) / MAX_SCALE);
    for (const [index, fit] of fits.entries()) this.#settle(index, fit, maxLevel);
  }

  /** Chooses the six-bit numbers of a group among the neighbours of the wished ones, then its levels. */
  #settle(index: number, wished: AffineFit, maxLevel: number): void {
    const group = this.#groups[index]!;
    const scale = sixBits(wished.scale, this.factor);
    const min = sixBits(wished.min, this.minFactor);
    let best = Infinity;
    for (let s = Math.max(0, scale - 1); s <= Math.min(MAX_SCALE, scale + 1); s++) {
      for (let m = Math.max(0, min - 1); m <= Math.min(MAX_SCALE, min + 1); m++) {
        const error = storedError(group, maxLevel, this.factor * s, this.minFactor * m);
        if (error >= best) continue;
        best = error;
        this.scales[index] = s;
        this.mins[index] = m;
      }
    }
    const step = this.factor * this.scales[index]!;
    const offset = this.minFactor * this.mins[index]!;
    const toLevel = step > 0 ? 1 / step : 0;
    for (let i = 0; i < GROUP; i++) {
      this.levels[index * GROUP + i] = nearestLevel((group.values[i]! + offset) * toLevel, maxLevel);
    }
  }

  /** Factors and six-bit numbers: the first 16 bytes of a block (`get_scale_min_k4` reads them back). */
  putHeader(target: Uint8Array, at: number): void {
    putHalf(target, at, this.factor);
    putHalf(target, at + 2, this.minFactor);
    for (let group = 0; group < 4; group++) {
      const [scale, min] = [this.scales[group + 4]!, this.mins[group + 4]!];
      target[at + 4 + group] = this.scales[group]! | ((scale >> 4) << 6);
      target[at + 8 + group] = this.mins[group]! | ((min >> 4) << 6);
      target[at + 12 + group] = (scale & 15) | ((min & 15) << 4);
    }
  }
}

function asHalf(value: number): number {
  return float16Value(float16Bits(value));
}

function sixBits(value: number, factor: number): number {
  return factor > 0 ? Math.min(MAX_SCALE, Math.round(value / factor)) : 0;
}

/** Fills `target` with blocks of 144 bytes. */
export function encodeQ4K(values: Float32Array, target: Uint8Array): void {
  const block = new AffineBlock();
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 144) {
    block.fit(values, from, 15);
    block.putHeader(target, at);
    putNibbles(block.levels, target, at + 16);
  }
}

/** Fills `target` with blocks of 176 bytes. */
export function encodeQ5K(values: Float32Array, target: Uint8Array): void {
  const block = new AffineBlock();
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 176) {
    block.fit(values, from, 31);
    block.putHeader(target, at);
    for (let i = 0; i < GROUP; i++) {
      let bits = 0;
      for (let group = 0; group < GROUPS; group++) bits |= (block.levels[group * GROUP + i]! >> 4) << group;
      target[at + 16 + i] = bits;
    }
    putNibbles(block.levels, target, at + 48);
  }
}

/** Low nibbles: groups 2c and 2c + 1 share 32 bytes. */
function putNibbles(levels: Uint8Array, target: Uint8Array, at: number): void {
  for (let pair = 0; pair < 4; pair++) {
    for (let i = 0; i < GROUP; i++) {
      const low = levels[pair * 64 + i]! & 15;
      target[at + pair * 32 + i] = low | ((levels[pair * 64 + 32 + i]! & 15) << 4);
    }
  }
}

const GROUPS_6 = 16;
const GROUP_6 = 16;
const BIAS_6 = 32;

/** Fills `target` with blocks of 210 bytes. */
export function encodeQ6K(values: Float32Array, target: Uint8Array): void {
  const levels = new Uint8Array(VALUES);
  const scales = new Int8Array(GROUPS_6);
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += 210) {
    const factor = fitQ6K(values, from, scales, levels);
    for (let half = 0; half < 2; half++) {
      const of = (i: number) => levels[half * 128 + i]!;
      for (let i = 0; i < 64; i++) target[at + half * 64 + i] = (of(i) & 15) | ((of(i + 64) & 15) << 4);
      for (let i = 0; i < 32; i++) {
        const high = (of(i) >> 4) | ((of(i + 32) >> 4) << 2) | ((of(i + 64) >> 4) << 4) | ((of(i + 96) >> 4) << 6);
        target[at + 128 + half * 32 + i] = high;
      }
    }
    for (let group = 0; group < GROUPS_6; group++) target[at + 192 + group] = scales[group]!;
    putHalf(target, at + 208, factor);
  }
}

const groups6 = Array.from({ length: GROUPS_6 }, () => new WeightedGroup(GROUP_6));

/** Chooses scales (signed bytes) and levels of one block; returns its factor. */
function fitQ6K(values: Float32Array, from: number, scales: Int8Array, levels: Uint8Array): number {
  const wished = groups6.map((group, index) => {
    group.load(values, from + index * GROUP_6, 0, 2);
    return fitSymmetric(group, BIAS_6);
  });
  const extreme = wished.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  const factor = asHalf(extreme / -128);
  for (const [index, group] of groups6.entries()) {
    const scale = factor === 0 ? 0 : Math.round(wished[index]! / factor);
    let best = Infinity;
    for (let s = Math.max(-128, scale - 1); s <= Math.min(127, scale + 1); s++) {
      const error = storedError(group, 2 * BIAS_6 - 1, factor * s, factor * s * BIAS_6);
      if (error >= best) continue;
      best = error;
      scales[index] = s;
    }
    const step = factor * scales[index]!;
    const toLevel = step === 0 ? 0 : 1 / step;
    for (let i = 0; i < GROUP_6; i++) {
      levels[index * GROUP_6 + i] = nearestLevel(group.values[i]! * toLevel + BIAS_6, 2 * BIAS_6 - 1);
    }
  }
  return factor;
}

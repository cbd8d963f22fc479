/**
 * Float32 to blocks of Q4_0 with a better scale than its own, for weights that are rounded for inference; files hold the bytes that other
 * programs would write (quantise-small-blocks.ts). Figures: docs/experiments.md, "Four bits from wider weights".
 */
import { extreme, putHalf } from './quantise-small-blocks.ts';

const VALUES = 32;
const BLOCK_BYTES = 18;

/**
 * Fills `target` with blocks of 18 bytes: levels x * -8 / extreme as in Q4_0, but the scale is sum(xx) / sum(x level), with which the rounded block
 * has a projection onto the block of the block's own length. The scale of least squares makes every product a little too small.
 */
export function fitQ40(values: Float32Array, target: Uint8Array): void {
  for (let from = 0, at = 0; from < values.length; from += VALUES, at += BLOCK_BYTES) {
    const largest = extreme(values, from);
    const toLevel = largest === 0 ? 0 : -8 / largest;
    let [squares, products] = [0, 0];
    for (let i = from; i < from + VALUES; i++) {
      squares += values[i]! ** 2;
      products += values[i]! * (level(values[i]!, toLevel) - 8);
    }
    putHalf(target, at, largest === 0 ? 0 : squares / products);
    for (let i = 0; i < VALUES / 2; i++) {
      const low = level(values[from + i]!, toLevel);
      target[at + 2 + i] = low | (level(values[from + i + VALUES / 2]!, toLevel) << 4);
    }
  }
}

/** Level 0 to 15; 8 stands for zero. */
function level(value: number, toLevel: number): number {
  return Math.min(15, (value * toLevel + 8.5) | 0);
}

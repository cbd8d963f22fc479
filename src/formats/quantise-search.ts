/**
 * The search behind K-quants: scale (and minimum) of a small group of values with the least weighted squared error.
 * Several roundings are tried; for each the best scale and minimum follow in closed form (weighted least squares).
 * Which values matter more is the caller's choice.
 */

/** The values of a group with their weights and what follows from both alone. */
export class WeightedGroup {
  readonly values: Float64Array;
  readonly weights: Float64Array;
  readonly products: Float64Array;
  sumWeights = 0;
  sumProducts = 0;
  sumSquares = 0;

  constructor(size: number) {
    this.values = new Float64Array(size);
    this.weights = new Float64Array(size);
    this.products = new Float64Array(size);
  }

  /** Takes the values from `from` on, weighted by their magnitude plus `rms` times their root mean square, to `power`. */
  load(source: Float32Array, from: number, rms: 0 | 1, power: 1 | 2): void {
    const { values, weights, products } = this;
    let squares = 0;
    for (let i = 0; i < values.length; i++) {
      const value = source[from + i]!;
      values[i] = value;
      squares += value * value;
    }
    const base = rms * Math.sqrt(squares / values.length);
    this.sumWeights = 0;
    this.sumProducts = 0;
    this.sumSquares = 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const magnitude = base + Math.abs(value);
      const weight = power === 1 ? magnitude : magnitude * magnitude;
      weights[i] = weight;
      products[i] = weight * value;
      this.sumWeights += weight;
      this.sumProducts += weight * value;
      this.sumSquares += weight * value * value;
    }
  }
}

/** A group is stored as scale * level - min, level from 0 to the largest, min >= 0. */
export interface AffineFit {
  scale: number;
  min: number;
}

// How far the range may be stretched or shrunk, in levels: shrinking clips outliers to serve the rest better.
const STRETCH_FROM = -1;
const STRETCH_STEP = 0.1;
const NUM_STRETCHES = 21;
const NUM_REFITS = 3;
const EQUAL_LEVELS = 1e-12; // relative size of a determinant that is rounding error only

/** Finds the scale and minimum of a group. */
export function fitAffine(group: WeightedGroup, maxLevel: number): AffineFit {
  let low = 0; // the stored minimum cannot be positive
  let high = -Infinity;
  for (const value of group.values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const result: AffineFit = { scale: 0, min: -low };
  if (high <= low) return result; // all equal, or all at most the minimum
  let best = Infinity;
  const trial: AffineFit = { scale: 0, min: 0 };
  for (let step = 0; step < NUM_STRETCHES + NUM_REFITS; step++) {
    const isRefit = step >= NUM_STRETCHES;
    trial.scale = isRefit ? result.scale : (high - low) / (maxLevel + STRETCH_FROM + STRETCH_STEP * step);
    trial.min = isRefit ? result.min : -low;
    const error = refitAffine(group, maxLevel, trial);
    if (error < best) {
      best = error;
      result.scale = trial.scale;
      result.min = trial.min;
    } else if (isRefit) break;
  }
  return result;
}

/** Rounds with the given scale and minimum, replaces them by the best ones for these levels, returns their error. */
function refitAffine(group: WeightedGroup, maxLevel: number, fit: AffineFit): number {
  const { values, weights, products, sumWeights: w, sumProducts: wx } = group;
  const toLevel = fit.scale > 0 ? 1 / fit.scale : 0;
  const start = fit.min * toLevel + 0.5;
  let wl = 0;
  let wxl = 0;
  let wll = 0;
  for (let i = 0; i < values.length; i++) {
    let level = (values[i]! * toLevel + start) | 0;
    level = level <= 0 ? 0 : level > maxLevel ? maxLevel : level;
    const weighted = weights[i]! * level;
    wl += weighted;
    wxl += products[i]! * level;
    wll += weighted * level;
  }
  const determinant = w * wll - wl * wl;
  let scale = (w * wxl - wx * wl) / determinant;
  let offset = (wll * wx - wl * wxl) / determinant;
  // If all levels are equal, or the offset comes out positive, the scale alone is fitted.
  if (!(determinant > w * wll * EQUAL_LEVELS) || offset > 0) {
    offset = 0;
    scale = wxl / wll;
  }
  if (!(scale > 0)) return Infinity;
  fit.scale = scale;
  fit.min = -offset;
  const cross = scale * wxl + offset * wx;
  return group.sumSquares - 2 * cross + scale * scale * wll + 2 * scale * offset * wl + offset * offset * w;
}

/** `position` rounded to a level from 0 to `maxLevel`. */
export function nearestLevel(position: number, maxLevel: number): number {
  const level = (position + 0.5) | 0;
  return level <= 0 ? 0 : level > maxLevel ? maxLevel : level;
}

/** Weighted squared error of a group stored with these numbers; a symmetric type has min = bias * scale. */
export function storedError(group: WeightedGroup, maxLevel: number, scale: number, min: number): number {
  const { values, weights } = group;
  const toLevel = scale === 0 ? 0 : 1 / scale;
  const start = min * toLevel + 0.5;
  let error = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    let level = (value * toLevel + start) | 0;
    level = level <= 0 ? 0 : level > maxLevel ? maxLevel : level;
    const difference = scale * level - min - value;
    error += weights[i]! * difference * difference;
  }
  return error;
}

const SYMMETRIC_STEPS = 9; // to either side

/** The scale (of either sign) with which a group is best stored as scale * level, -bias <= level < bias. */
export function fitSymmetric(group: WeightedGroup, bias: number): number {
  let extreme = 0;
  for (const value of group.values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  if (extreme === 0) return 0;
  const best = { gain: 0, scale: 0 };
  for (let step = -SYMMETRIC_STEPS; step <= SYMMETRIC_STEPS + NUM_REFITS; step++) {
    const isRefit = step > SYMMETRIC_STEPS;
    const scale = isRefit ? best.scale : -extreme / (bias + step * STRETCH_STEP);
    if (!improveSymmetric(group, bias, scale, best) && isRefit) break;
  }
  return best.scale;
}

/** Keeps the best scale for the levels that `scale` rounds to, if it lowers the error further below that of zeros. */
function improveSymmetric(
  group: WeightedGroup,
  bias: number,
  scale: number,
  best: { gain: number; scale: number },
): boolean {
  const { values, weights, products } = group;
  const toLevel = scale === 0 ? 0 : 1 / scale;
  const maxLevel = 2 * bias - 1;
  let wxl = 0;
  let wll = 0;
  for (let i = 0; i < values.length; i++) {
    const level = nearestLevel(values[i]! * toLevel + bias, maxLevel) - bias;
    wxl += products[i]! * level;
    wll += weights[i]! * level * level;
  }
  if (!(wxl * wxl > best.gain * wll)) return false;
  best.gain = (wxl * wxl) / wll;
  best.scale = wxl / wll;
  return true;
}

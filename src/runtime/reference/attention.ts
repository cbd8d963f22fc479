/**
 * Causal grouped-query attention over paged keys and values, its gradient, and the two operators around it: rotary positions and writing
 * into the cache. Segments and blocks are as OpAttrs.attention says.
 *
 * T tokens, H query heads, K kv heads, E head dim, S key/value slots.
 */
import { invariant } from '../../util/errors.ts';
import type { AttentionAttrs } from '../../tensor/operators.ts';
import { type Floats, floats, inRange, ints, type ReferenceKernel, roundTo, sizes, type View } from './kernel.ts';

/** Consecutive queries and the slots of the keys that they see. */
interface Segment {
  readonly firstQuery: number;
  readonly numQueries: number;
  /** Slot of each key; query i sees the first `slots.length - numQueries + i + 1`. */
  readonly slots: Int32Array;
}

type SegmentRow = [firstQuery: number, numQueries: number, numKeys: number, firstEntry: number];

function readSegments(segments: View, blocks: View, blockSize: number, T: number, S: number): Segment[] {
  const [rows, entries] = [ints(segments), ints(blocks)];
  return Array.from({ length: sizes(segments)[0] }, (_, n) => {
    const [firstQuery, numQueries, numKeys, firstEntry] = Array.from(rows.subarray(n * 4, n * 4 + 4)) as SegmentRow;
    const fits = firstQuery >= 0 && numQueries >= 0 && firstQuery + numQueries <= T && numKeys >= numQueries;
    invariant(fits, `internal: segment ${n} (${firstQuery}, ${numQueries}, ${numKeys}) does not fit ${T} tokens`);
    const slots = new Int32Array(numKeys);
    for (let j = 0; j < slots.length; j++) {
      const entry = inRange(firstEntry + Math.floor(j / blockSize), entries.length, 'block table entry');
      slots[j] = inRange(entries[entry]! + (j % blockSize), S, 'slot');
    }
    return { firstQuery, numQueries, slots };
  });
}

/** The dot product of `length` values of x from `xStart` on and of y from `yStart` on. */
function dot(x: Floats, xStart: number, y: Floats, yStart: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += x[xStart + i]! * y[yStart + i]!;
  return sum;
}

/** target[targetStart + i] += factor * x[xStart + i]. */
function addScaled(
  target: Floats,
  targetStart: number,
  x: Floats,
  xStart: number,
  factor: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) target[targetStart + i]! += factor * x[xStart + i]!;
}

export const attention: ReferenceKernel<'attention'> = function* ({ attrs, inputs, outputs }) {
  const { numHeads: H, numKvHeads: K, headDim: E } = attrs;
  const [q, k, v] = [floats(inputs[0]), floats(inputs[1]), floats(inputs[2])];
  const [out, logSumExp] = [floats(outputs[0]), floats(outputs[1])];
  out.fill(0);
  logSumExp.fill(0);
  const [T, S] = [sizes(inputs[0])[0], sizes(inputs[1])[0]];
  const mixed = new Float64Array(E);
  for (const segment of readSegments(inputs[3]!, inputs[4]!, attrs.blockSize, T, S)) {
    const weights = new Float64Array(segment.slots.length);
    for (let i = 0; i < segment.numQueries; i++) {
      const row = segment.firstQuery + i;
      const seen = segment.slots.length - segment.numQueries + i + 1;
      for (let head = 0; head < H; head++) {
        const kvStart = Math.floor(head / (H / K)) * E;
        const queryStart = (row * H + head) * E;
        logSumExp[row * H + head] = softmaxOverKeys(weights, q, queryStart, k, kvStart, segment.slots, seen, attrs);
        mixed.fill(0);
        for (let j = 0; j < seen; j++) {
          addScaled(mixed, 0, v, segment.slots[j]! * K * E + kvStart, weights[j]!, E);
        }
        out.set(mixed, queryStart);
      }
      yield;
    }
  }
};

/** Sets `weights` to the softmax of one query's scaled scores; gives the logarithm of the sum of their exponentials. */
function softmaxOverKeys(
  weights: Float64Array,
  q: Floats,
  queryStart: number,
  k: Floats,
  kvStart: number,
  slots: Int32Array,
  seen: number,
  { numKvHeads: K, headDim: E, scale }: AttentionAttrs,
): number {
  let largest = -Infinity;
  for (let j = 0; j < seen; j++) {
    weights[j] = scale * dot(q, queryStart, k, slots[j]! * K * E + kvStart, E);
    largest = Math.max(largest, weights[j]!);
  }
  let total = 0;
  for (let j = 0; j < seen; j++) total += weights[j] = Math.exp(weights[j]! - largest);
  for (let j = 0; j < seen; j++) weights[j]! /= total;
  return largest + Math.log(total);
}

export const attentionGrad: ReferenceKernel<'attentionGrad'> = function* ({ attrs, inputs, outputs }) {
  const [dout, q, k, v] = [floats(inputs[0]), floats(inputs[1]), floats(inputs[2]), floats(inputs[3])];
  const [out, logSumExp] = [floats(inputs[4]), floats(inputs[5])];
  const { numHeads: H, numKvHeads: K, headDim: E, scale } = attrs;
  const [dq, dk, dv] = [floats(outputs[0]), floats(outputs[1]), floats(outputs[2])];
  for (const gradient of [dq, dk, dv]) gradient.fill(0);
  const [T, S] = [sizes(inputs[1])[0], sizes(inputs[2])[0]];
  const dQuery = new Float64Array(E);
  for (const { firstQuery, numQueries, slots } of readSegments(inputs[6]!, inputs[7]!, attrs.blockSize, T, S)) {
    for (let kvHead = 0; kvHead < K; kvHead++) {
      const dKeys = new Float64Array(slots.length * E);
      const dValues = new Float64Array(slots.length * E);
      for (let i = 0; i < numQueries; i++) {
        const seen = slots.length - numQueries + i + 1;
        for (let head = kvHead * (H / K); head < (kvHead + 1) * (H / K); head++) {
          const place = (firstQuery + i) * H + head;
          const start = place * E;
          const expected = dot(dout, start, out, start, E); // sum over keys of weight * dweight
          dQuery.fill(0);
          for (let j = 0; j < seen; j++) {
            const slotStart = (slots[j]! * K + kvHead) * E;
            const weight = Math.exp(scale * dot(q, start, k, slotStart, E) - logSumExp[place]!);
            const dScore = scale * weight * (dot(dout, start, v, slotStart, E) - expected);
            addScaled(dQuery, 0, k, slotStart, dScore, E);
            addScaled(dKeys, j * E, q, start, dScore, E);
            addScaled(dValues, j * E, dout, start, weight, E);
          }
          dq.set(dQuery, start);
        }
        yield;
      }
      for (let j = 0; j < slots.length; j++) {
        dk.set(dKeys.subarray(j * E, (j + 1) * E), (slots[j]! * K + kvHead) * E);
        dv.set(dValues.subarray(j * E, (j + 1) * E), (slots[j]! * K + kvHead) * E);
      }
    }
  }
};

export const rope: ReferenceKernel<'rope'> = ({ attrs, inputs, outputs }) => {
  const [x, table, positions, out] = [floats(inputs[0]), floats(inputs[1]), ints(inputs[2]), floats(outputs[0])];
  const [T, width] = sizes(inputs[0]);
  const E = attrs.headDim;
  const direction = attrs.inverse ? -1 : 1;
  for (let t = 0; t < T; t++) {
    const angles = inRange(positions[t]!, sizes(inputs[1])[0], 'position') * E;
    for (let i = 0; i < width; i += 2) {
      const cos = table[angles + (i % E)]!;
      const sin = direction * table[angles + (i % E) + 1]!;
      const even = x[t * width + i]!;
      const odd = x[t * width + i + 1]!;
      out[t * width + i] = even * cos - odd * sin;
      out[t * width + i + 1] = even * sin + odd * cos;
    }
  }
};

export const cacheWrite: ReferenceKernel<'cacheWrite'> = ({ inputs, outputs }) => {
  const [x, slots, cache] = [floats(inputs[1]), ints(inputs[2]), floats(outputs[0])];
  const [S, width] = sizes(outputs[0]);
  for (let t = 0; t < slots.length; t++) {
    if (slots[t]! < 0) continue;
    const start = inRange(slots[t]!, S, 'slot') * width;
    const row = cache.subarray(start, start + width);
    row.set(x.subarray(t * width, (t + 1) * width));
    roundTo(outputs[0]!.dtype, row);
  }
};

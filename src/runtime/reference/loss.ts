/**
 * Log-probabilities of given tokens under softmax(weight x) and their gradient, block by block, so that the logits never exist whole.
 *
 * T tokens, D model dim, V vocabulary.
 */
import {
  type Floats,
  floats,
  floatsOrNull,
  inRange,
  ints,
  type ReferenceKernel,
  roundTo,
  sizes,
  zerosLike,
} from './kernel.ts';
import { multiply, operand, transpose } from './products.ts';

const TOKENS_PER_BLOCK = 16;
const ROWS_PER_BLOCK = 64;

export const tokenLogProbs: ReferenceKernel<'tokenLogProbs'> = function* ({ attrs: { precision }, inputs, outputs }) {
  const [x, weight] = [operand(inputs[0], false, precision), operand(inputs[1], false, precision)];
  yield* logProbsAndNormalisers(x, weight, ints(inputs[2]), sizes(inputs[1])[1], floats(outputs[0]), null);
};

/** Sets logp[t] to the log-probability of targets[t], 0 where that is negative, and normalisers[t] to log(sum(exp(logits of t))). */
function* logProbsAndNormalisers(
  x: Floats,
  weight: Floats,
  targets: Int32Array,
  D: number,
  logp: Floats,
  normalisers: Float64Array | null,
): Generator<void> {
  const V = weight.length / D;
  const logits = new Float64Array(TOKENS_PER_BLOCK * V);
  for (let first = 0; first < targets.length; first += TOKENS_PER_BLOCK) {
    const rows = Math.min(TOKENS_PER_BLOCK, targets.length - first);
    const a = x.subarray(first * D, (first + rows) * D);
    yield* multiply({ a, b: weight, addend: null, out: logits, rows, columns: V, depth: D });
    for (let i = 0; i < rows; i++) {
      const row = logits.subarray(i * V, (i + 1) * V);
      const normaliser = logSumExp(row);
      if (normalisers) normalisers[first + i] = normaliser;
      const target = targets[first + i]!;
      logp[first + i] = target < 0 ? 0 : row[inRange(target, V, 'target')]! - normaliser;
      yield;
    }
  }
}

function logSumExp(values: Float64Array): number {
  let largest = -Infinity;
  for (let i = 0; i < values.length; i++) if (values[i]! > largest) largest = values[i]!;
  let total = 0;
  for (let i = 0; i < values.length; i++) total += Math.exp(values[i]! - largest);
  return largest + Math.log(total);
}

export const tokenLogProbsGrad: ReferenceKernel<'tokenLogProbsGrad'> = function* ({ attrs, inputs, outputs }) {
  const { precision } = attrs;
  const [dLogp, targets, addend] = [floats(inputs[0]), ints(inputs[3]), floatsOrNull(inputs[4])];
  const [x, weight] = [operand(inputs[1], false, precision), operand(inputs[2], false, precision)];
  const [V, D] = sizes(inputs[2]);
  const T = targets.length;
  const normalisers = new Float64Array(T);
  yield* logProbsAndNormalisers(x, weight, targets, D, floats(outputs[0]), normalisers);

  const dWeight = floats(outputs[2]);
  const dx = new Float64Array(T * D);
  const columnsOfX = transpose(x, T, D);
  for (let first = 0; first < V; first += ROWS_PER_BLOCK) {
    const rows = Math.min(ROWS_PER_BLOCK, V - first);
    const block = weight.subarray(first * D, (first + rows) * D);
    const logits = new Float64Array(rows * T);
    yield* multiply({ a: block, b: x, addend: null, out: logits, rows, columns: T, depth: D });
    const dLogits = logitGradients(logits, first, targets, normalisers, dLogp, zerosLike(x, rows * T));
    if (precision === 'bf16') roundTo('bf16', dLogits);
    const place = (all: Floats) => all.subarray(first * D, (first + rows) * D);
    yield* multiply({
      a: dLogits,
      b: columnsOfX,
      addend: addend && place(addend),
      out: place(dWeight),
      rows,
      columns: D,
      depth: T,
    });
    const [a, b] = [transpose(dLogits, rows, T), transpose(block, rows, D)];
    yield* multiply({ a, b, addend: dx, out: dx, rows: T, columns: D, depth: rows });
  }
  floats(outputs[1]).set(dx);
};

/** d log p(target) / d logit of the vocabulary's rows from `first` on, [rows, T] into `dLogits`: 1 on the target less the probability. */
function logitGradients(
  logits: Floats,
  first: number,
  targets: Int32Array,
  normalisers: Floats,
  dLogp: Floats,
  dLogits: Floats,
): Floats {
  const T = targets.length;
  for (let row = 0; row < logits.length / T; row++) {
    for (let t = 0; t < T; t++) {
      if (targets[t]! < 0) continue;
      const onTarget = targets[t] === first + row ? 1 : 0;
      dLogits[row * T + t] = dLogp[t]! * (onTarget - Math.exp(logits[row * T + t]! - normalisers[t]!));
    }
  }
  return dLogits;
}

/**
 * Operators that work value by value, or that sum or move values: arithmetic, swiglu, casts, rows by index, sums over everything.
 */
import type { OpName } from '../../tensor/operators.ts';
import { type Call, floats, floatsOrNull, inRange, ints, type ReferenceKernel, sizes } from './kernel.ts';

/** A kernel of any operator whose attributes do not matter. */
type Plain = (call: Pick<Call<OpName>, 'inputs' | 'outputs'>) => void;

/** Applies f to each value. */
export function unary(f: (x: number) => number): Plain {
  return ({ inputs, outputs }) => {
    const [x, out] = [floats(inputs[0]), floats(outputs[0])];
    for (let i = 0; i < out.length; i++) out[i] = f(x[i]!);
  };
}

/** Applies f to each pair of values. */
export function binary(f: (a: number, b: number) => number): Plain {
  return ({ inputs, outputs }) => {
    const [a, b, out] = [floats(inputs[0]), floats(inputs[1]), floats(outputs[0])];
    for (let i = 0; i < out.length; i++) out[i] = f(a[i]!, b[i]!);
  };
}

/** A loop of its own: it runs twice in every layer, and V8 does not inline a function that is passed in. */
export const add: ReferenceKernel<'add'> = ({ inputs, outputs }) => {
  const [a, b, out] = [floats(inputs[0]), floats(inputs[1]), floats(outputs[0])];
  for (let i = 0; i < out.length; i++) out[i] = a[i]! + b[i]!;
};

export const affine: ReferenceKernel<'affine'> = ({ attrs: { factor, offset }, inputs, outputs }) => {
  const [x, out] = [floats(inputs[0]), floats(outputs[0])];
  for (let i = 0; i < out.length; i++) out[i] = x[i]! * factor + offset;
};

/** 1 / (1 + exp(-x)). */
export function sigmoidOf(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** log(1 + exp(x)), without overflow. */
export function softplusOf(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

export const swiglu: ReferenceKernel<'swiglu'> = ({ inputs, outputs }) => {
  const [gate, up, out] = [floats(inputs[0]), floats(inputs[1]), floats(outputs[0])];
  for (let i = 0; i < out.length; i++) out[i] = (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!;
};

export const swigluGrad: ReferenceKernel<'swigluGrad'> = ({ inputs, outputs }) => {
  const [dy, gate, up] = [floats(inputs[0]), floats(inputs[1]), floats(inputs[2])];
  const [dGate, dUp] = [floats(outputs[0]), floats(outputs[1])];
  for (let i = 0; i < dy.length; i++) {
    const [d, g, u] = [dy[i]!, gate[i]!, up[i]!];
    const s = 1 / (1 + Math.exp(-g));
    dGate[i] = d * u * s * (1 + g * (1 - s));
    dUp[i] = d * g * s;
  }
};

/** The same values; what the type of the output cannot hold is rounded after every kernel. */
export const copy: Plain = ({ inputs, outputs }) => {
  floats(outputs[0]).set(floats(inputs[0]));
};

export const assign: ReferenceKernel<'assign'> = ({ inputs, outputs }) => {
  outputs[0]!.values.set(inputs[1]!.values);
};

export const constant: ReferenceKernel<'constant'> = ({ attrs, outputs }) => {
  floats(outputs[0]).fill(attrs.value);
};

export const expand: ReferenceKernel<'expand'> = ({ inputs, outputs }) => {
  floats(outputs[0]).fill(floats(inputs[0])[0]!);
};

export const sum: ReferenceKernel<'sum'> = ({ inputs, outputs }) => {
  const x = floats(inputs[0]);
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i]!;
  floats(outputs[0])[0] = total;
};

export const sumOfSquares: ReferenceKernel<'sumOfSquares'> = ({ inputs, outputs }) => {
  let total = 0;
  for (const x of inputs.map(floats)) for (let i = 0; i < x.length; i++) total += x[i]! * x[i]!;
  floats(outputs[0])[0] = total;
};

export const gather: ReferenceKernel<'gather'> = ({ inputs, outputs }) => {
  const [table, ids, out] = [floats(inputs[0]), ints(inputs[1]), floats(outputs[0])];
  const [rows, D] = sizes(inputs[0]);
  for (let t = 0; t < ids.length; t++) {
    const start = inRange(ids[t]!, rows, 'row id') * D;
    out.set(table.subarray(start, start + D), t * D);
  }
};

export const scatterAdd: ReferenceKernel<'scatterAdd'> = ({ attrs: { rows }, inputs, outputs }) => {
  const [values, ids, addend] = [floats(inputs[0]), ints(inputs[1]), floatsOrNull(inputs[2])];
  const out = floats(outputs[0]);
  const D = sizes(outputs[0])[1];
  const tokensOf = new Map<number, number[]>();
  for (const [t, id] of ids.entries()) {
    const tokens = tokensOf.get(inRange(id, rows, 'row id'));
    if (tokens) tokens.push(t);
    else tokensOf.set(id, [t]);
  }
  if (addend) out.set(addend);
  else out.fill(0);
  for (const [row, tokens] of tokensOf) {
    for (let d = 0; d < D; d++) {
      let total = out[row * D + d]!;
      for (const t of tokens) total += values[t * D + d]!;
      out[row * D + d] = total;
    }
  }
};

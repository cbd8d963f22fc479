/**
 * One application of an operator with what it must give, said a second time: by the plainest loops over float64, independent of any kernel.
 * The tables of cases beside this file serve the reference backend, the native one and the gradient rules alike.
 */
import type { Given, Traced } from '../support.ts';
import { given } from '../support.ts';
import { integer, randomStream } from '../../src/util/rng.ts';

export type Numbers = ArrayLike<number>;
/** What a product does to its operands: rounds them to bf16, or nothing in exact arithmetic. */
export type Round = (value: number) => number;

export interface OperatorCase {
  readonly name: string;
  readonly tensors: Readonly<Record<string, Given>>;
  readonly body: Traced;
  /** The outputs of `body`, and the new values of states under `state.<name>`. */
  readonly expected: (values: Readonly<Record<string, Numbers>>, roundBf16: Round) => Readonly<Record<string, Numbers>>;
  /** Tensors whose gradient is checked, through the output `y`. */
  readonly wrt: readonly string[];
  /** The narrowest type that a result or a value on the way may be rounded to. */
  readonly accuracy: 'f32' | 'bf16';
}

/** Sizes that a table of cases is made for; each operator takes them for what it has. */
export interface CaseSize {
  readonly tokens: number;
  readonly dim: number;
  readonly rows: number;
}

/** Integers in [0, bound), the same for the same name. */
export function randomIds(name: string, length: number, bound: number): Given {
  const stream = randomStream(1, name);
  return given(
    'i32',
    [length],
    Int32Array.from({ length }, (_, i) => integer(stream, i, bound)),
  );
}

/** The values f(row, column) of a matrix. */
export function matrix([rows, columns]: readonly [number, number], f: (row: number, column: number) => number) {
  return Float64Array.from({ length: rows * columns }, (_, i) => f(Math.floor(i / columns), i % columns));
}

/** The values f(i) of a vector. */
export function vector(length: number, f: (i: number) => number): Float64Array {
  return Float64Array.from({ length }, (_, i) => f(i));
}

/** f(0) + ... + f(count - 1). */
export function total(count: number, f: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += f(i);
  return sum;
}

/** A case of one operator with its defaults filled in. */
export function operatorCase(
  name: string,
  parts: Pick<OperatorCase, 'tensors' | 'body' | 'expected'> & Partial<OperatorCase>,
): OperatorCase {
  const narrow = Object.values(parts.tensors).some(({ dtype }) => dtype === 'bf16' || dtype === 'f16');
  return { name, wrt: [], accuracy: narrow ? 'bf16' : 'f32', ...parts };
}

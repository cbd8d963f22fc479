import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeToF32 } from './decode-f32.ts';
import { encodeFromF32 } from './encode-f32.ts';
import { fitQ40 } from './fit-four-bits.ts';
import { fillNormal, randomStream } from '../util/rng.ts';

const BLOCKS = 400;

function normalValues(length: number): Float32Array {
  const values = new Float32Array(length);
  fillNormal(values, randomStream(7, 'weights'));
  return values;
}

function rounded(encode: (values: Float32Array, target: Uint8Array) => void, values: Float32Array): Float32Array {
  const blocks = new Uint8Array((values.length / 32) * 18);
  encode(values, blocks);
  const result = new Float32Array(values.length);
  decodeToF32('Q4_0', blocks, result);
  return result;
}

function sumOf(values: Float32Array, term: (value: number, i: number) => number): number {
  return values.reduce((sum, value, i) => sum + term(value, i), 0);
}

test('keeps the length of a block along itself, with a smaller error than Q4_0', () => {
  const values = normalValues(32 * BLOCKS);
  const ours = rounded(fitQ40, values);
  const reference = rounded((from, to) => encodeFromF32('Q4_0', from, to), values);
  for (let first = 0; first < values.length; first += 32) {
    const block = values.subarray(first, first + 32);
    const along = sumOf(block, (value, i) => value * ours[first + i]!) / sumOf(block, (value) => value * value);
    assert.ok(Math.abs(along - 1) < 2 ** -10, `${along}`); // the scale is f16
  }
  const errors = [ours, reference].map((given) => sumOf(values, (value, i) => (value - given[i]!) ** 2));
  assert.ok(errors[0]! < 0.985 * errors[1]!, `${errors.join(' against ')}`);
});

test('keeps what Q4_0 holds exactly, and zeros', () => {
  const exact = rounded((from, to) => encodeFromF32('Q4_0', from, to), normalValues(32 * 20));
  exact.fill(0, 0, 32);
  assert.deepEqual(rounded(fitQ40, exact), exact);
});

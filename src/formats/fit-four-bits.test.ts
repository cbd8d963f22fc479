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

function squaredErrors(values: Float32Array, given: Float32Array): number[] {
  return Array.from({ length: values.length / 32 }, (_, block) => {
    let sum = 0;
    for (let i = 32 * block; i < 32 * block + 32; i++) sum += (values[i]! - given[i]!) ** 2;
    return sum;
  });
}

const total = (errors: readonly number[]) => errors.reduce((sum, error) => sum + error, 0);

test('no block has a larger error than that of Q4_0, all together far less', () => {
  const values = normalValues(32 * BLOCKS);
  const ours = squaredErrors(values, rounded(fitQ40, values));
  const reference = squaredErrors(
    values,
    rounded((from, to) => encodeFromF32('Q4_0', from, to), values),
  );
  for (const [block, error] of ours.entries()) assert.ok(error <= 1.002 * reference[block]!, `block ${block}`); // scales are f16
  assert.ok(total(ours) < 0.93 * total(reference), `${total(ours)} against ${total(reference)}`);
});

test('keeps what Q4_0 holds exactly, and zeros', () => {
  const exact = rounded((from, to) => encodeFromF32('Q4_0', from, to), normalValues(32 * 20));
  exact.fill(0, 0, 32);
  assert.deepEqual(rounded(fitQ40, exact), exact);
});

import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'node:test';
import { decodeToF32 } from './decode-f32.ts';
import { encodeFromF32 } from './encode-f32.ts';
import { encodePool } from './encode-pool.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.ts';
import { STORED_DTYPES } from './stored-dtype.ts';
import { FIXTURES } from './toy-test-support.ts';

let fixture: SafetensorsFile;
before(async () => (fixture = await openSafetensors(`${FIXTURES}/k-quants.safetensors`)));
after(() => fixture.close());

type KType = 'Q4_K' | 'Q5_K' | 'Q6_K';
const BLOCK = 256;

function decoded(type: KType, bytes: Uint8Array): Float32Array {
  const values = new Float32Array((bytes.length / STORED_DTYPES[type].blockBytes) * BLOCK);
  decodeToF32(type, bytes, values);
  return values;
}

function encoded(type: KType, values: Float32Array): Uint8Array {
  const bytes = new Uint8Array((values.length / BLOCK) * STORED_DTYPES[type].blockBytes).fill(0xaa);
  encodeFromF32(type, values, bytes);
  return bytes;
}

/** Squared error of one block, large values weighted more, as both quantisers intend. */
function blockError(values: Float32Array, stored: Float32Array, from: number): number {
  let error = 0;
  for (let i = from; i < from + BLOCK; i++) error += Math.abs(values[i]!) * (stored[i]! - values[i]!) ** 2;
  return error;
}

describe('K-quants', () => {
  for (const type of ['Q4_K', 'Q5_K', 'Q6_K'] as const) {
    it(`${type} loses no more than llama.cpp's quantiser`, async () => {
      const values = await fixture.read('values', 'F32');
      const theirs = decoded(type, await fixture.read(type, 'U8'));
      const ours = decoded(type, encoded(type, values));
      let logRatio = 0;
      let compared = 0;
      for (let from = 0; from < values.length; from += BLOCK) {
        const [a, b] = [blockError(values, ours, from), blockError(values, theirs, from)];
        assert.ok(a <= b * 1.1 + 1e-12, `block ${from / BLOCK}: ${a}, llama.cpp ${b}`);
        if (b === 0) continue;
        logRatio += Math.log(Math.max(a, 1e-12) / b);
        compared++;
      }
      assert.ok(logRatio / compared < 0, `mean log ratio of errors ${logRatio / compared}`);
    });

    it(`${type} keeps what it can represent and stores zeros, constants and tiny values`, async () => {
      const values = await fixture.read('values', 'F32');
      const once = decoded(type, encoded(type, values));
      const twice = decoded(type, encoded(type, once));
      const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      assert.ok(twice.every((value, i) => Math.abs(value - once[i]!) <= largest * 1e-2));
      for (const constant of [0, 0.5, -0.5, 1e-9, -1e-9, 30_000]) {
        const block = new Float32Array(BLOCK).fill(constant);
        const stored = decoded(type, encoded(type, block));
        const tolerance = Math.max(Math.abs(constant) * 0.02, 1e-6);
        assert.ok(
          stored.every((value) => Math.abs(value - constant) <= tolerance),
          `${constant}: ${stored[0]}`,
        );
      }
    });
  }

  it('gives the same bytes on several threads', async () => {
    const values = Float32Array.from({ length: 2 ** 16 + 3 * BLOCK }, (_, i) => Math.sin(i * i) * 0.02);
    const pool = encodePool(2);
    const expected = encoded('Q4_K', values);
    for (let round = 0; round < 2; round++) {
      const actual = new Uint8Array(expected.length);
      await pool.encode('Q4_K', values, actual);
      assert.deepEqual(actual, expected);
    }
    await pool.close();
  });
});

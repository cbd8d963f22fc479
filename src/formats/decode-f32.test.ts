import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'node:test';
import { decodeToF32 } from './decode-f32.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.ts';
import { STORED_DTYPES, type StoredDType } from './stored-dtype.ts';
import { FIXTURES } from './toy-test-support.ts';

let fixture: SafetensorsFile;
before(async () => (fixture = await openSafetensors(`${FIXTURES}/gguf-blocks.safetensors`)));
after(() => fixture.close());

const BLOCK_TYPES = (Object.keys(STORED_DTYPES) as StoredDType[]).filter((type) => STORED_DTYPES[type].blockSize > 1);

describe('decodeToF32', () => {
  for (const type of BLOCK_TYPES) {
    it(`decodes ${type} blocks to the bits the gguf package decodes`, async () => {
      const bytes = await fixture.read(`${type}.bytes`, 'U8');
      const expected = await fixture.read(`${type}.values`, 'F32');
      assert.ok(expected.some((value) => value > 0) && expected.some((value) => value < 0));
      const actual = new Float32Array(expected.length);
      decodeToF32(type, bytes, actual);
      for (let i = 0; i < expected.length; i++) {
        assert.ok(actual[i] === expected[i], `value ${i}: ${actual[i]}, expected ${expected[i]}`);
      }
    });
  }

  it('decodes from any byte position', async () => {
    const odd = new Uint8Array(9);
    odd.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
    const target = new Float32Array(2);
    decodeToF32('F32', odd.subarray(1), target);
    assert.deepEqual([...target], [1.5, -2]);
  });
});

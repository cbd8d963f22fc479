import { strict as assert } from 'node:assert';
import { after, before, describe, it } from 'node:test';
import { encodeFromF32 } from './encode-f32.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.ts';
import { FIXTURES } from './toy-test-support.ts';

let fixture: SafetensorsFile;
before(async () => (fixture = await openSafetensors(`${FIXTURES}/gguf-blocks.safetensors`)));
after(() => fixture.close());

describe('encodeFromF32', () => {
  for (const type of ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1'] as const) {
    it(`quantises ${type} to the bytes of the gguf package`, async () => {
      const input = await fixture.read('quantise.input', 'F32');
      const expected = await fixture.read(`${type}.quantised`, 'U8');
      const actual = new Uint8Array(expected.length).fill(0xaa);
      encodeFromF32(type, input, actual);
      const wrong = actual.findIndex((byte, i) => byte !== expected[i]);
      assert.equal(wrong, -1, `byte ${wrong}: ${actual[wrong]}, expected ${expected[wrong]}`);
    });
  }
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ropeFrequencies, ropeTable } from './rope.ts';
import { sizeConfig } from './sizes.ts';

describe('rotary table', () => {
  it('turns pair i by position * theta^(-2i / headDim)', () => {
    const table = ropeTable({ headDim: 4, ropeTheta: 100, ropeScaling: null }, 3);
    const expected = [0, 1, 2].flatMap((p) => [Math.cos(p), Math.sin(p), Math.cos(p / 10), Math.sin(p / 10)]);
    for (const [i, value] of expected.entries()) assert.ok(Math.abs(table[i]! - value) < 1e-7);
  });

  it('scales Llama 3.1 frequencies as Meta does: short waves kept, long ones divided, between them a blend', () => {
    const config = sizeConfig('llama3.1-8b');
    const plain = ropeFrequencies({ ...config, ropeScaling: null });
    const ratio = Array.from(ropeFrequencies(config), (frequency, i) => frequency / plain[i]!);
    const wavelength = Array.from(plain, (frequency) => (2 * Math.PI) / frequency);
    for (const [i, waves] of wavelength.entries()) {
      if (waves < 2048) assert.equal(ratio[i], 1);
      else if (waves > 8192) assert.ok(Math.abs(ratio[i]! - 1 / 8) < 1e-12);
      else {
        const smooth = (8192 / waves - 1) / 3;
        assert.ok(Math.abs(ratio[i]! - ((1 - smooth) / 8 + smooth)) < 1e-12);
      }
    }
    assert.ok(
      ratio.some((value) => value > 1 / 8 && value < 1),
      'some frequency lies between',
    );
  });
});

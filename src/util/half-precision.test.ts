import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { bf16ToF32, bfloat16Bits, f32ToBf16 } from './bfloat16.ts';
import { f16ToF32, f32ToF16, float16Bits, float16Value } from './float16.ts';

/** Half value by definition, not by table. */
function halfByDefinition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

describe('float16', () => {
  it('decodes all 65,536 halves by definition and encodes each back to itself', () => {
    const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const wide = new Float32Array(0x10000);
    f16ToF32(all, wide);
    const back = new Uint16Array(0x10000);
    f32ToF16(wide, back);
    for (let half = 0; half < 0x10000; half++) {
      assert.ok(Object.is(wide[half], halfByDefinition(half)), `half ${half}`);
      if (!Number.isNaN(wide[half])) assert.equal(back[half], half);
      else assert.ok(Number.isNaN(halfByDefinition(back[half]!)));
    }
  });

  it('rounds to nearest, ties to even, between every pair of neighbours', () => {
    for (let half = 0; half < 0x7bff; half++) {
      const low = float16Value(half);
      const high = float16Value(half + 1);
      const middle = (low + high) / 2; // exact in float32
      assert.equal(float16Bits(middle), half % 2 === 0 ? half : half + 1, `tie above ${low}`);
      assert.equal(float16Bits(middle - (high - low) * 2 ** -10), half);
      assert.equal(float16Bits(-middle - (high - low) * 2 ** -10), 0x8000 | (half + 1));
    }
  });

  it('overflows to infinity only from 65520 on', () => {
    assert.equal(float16Bits(65519.99), 0x7bff);
    assert.equal(float16Bits(65520), 0x7c00);
    assert.equal(float16Bits(-1e30), 0xfc00);
    assert.equal(float16Bits(2 ** -149), 0);
  });
});

describe('bfloat16', () => {
  it('round trips every non-NaN pattern and keeps NaN a NaN', () => {
    const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const wide = new Float32Array(0x10000);
    bf16ToF32(all, wide);
    const back = new Uint16Array(0x10000);
    f32ToBf16(wide, back);
    for (let i = 0; i < 0x10000; i++) {
      if (Number.isNaN(wide[i])) assert.ok((back[i]! & 0x7fff) > 0x7f80);
      else assert.equal(back[i], i);
    }
  });

  it('rounds to nearest, ties to even', () => {
    const word = new Uint32Array(1);
    const value = new Float32Array(word.buffer);
    for (let high = 0; high < 0x7f80; high += 7) {
      for (const [low, expected] of [
        [0x7fff, high],
        [0x8000, high % 2 === 0 ? high : high + 1],
        [0x8001, high + 1],
      ] as const) {
        word[0] = high * 0x10000 + low;
        assert.equal(bfloat16Bits(value[0]!), expected);
      }
    }
  });
});

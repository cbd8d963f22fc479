import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { byteLength, type DType, isPanel, numValues, type Shape } from './dtype.ts';

describe('numValues', () => {
  it('is the product of the sizes, 1 for a scalar, 0 for anything empty', () => {
    assert.deepEqual([[], [7], [2, 3, 4], [2, 0, 4]].map(numValues), [1, 7, 24, 0]);
  });
});

describe('byteLength', () => {
  const lengths: readonly (readonly [DType, Shape, number])[] = [
    ['f32', [3, 5], 60],
    ['i32', [3, 5], 60],
    ['bf16', [3, 5], 30],
    ['f16', [], 2],
    ['panel_f32', [1, 5], 16 * 5 * 4],
    ['panel_f32', [16, 5], 16 * 5 * 4],
    ['panel_f32', [17, 5], 32 * 5 * 4],
    ['panel_bf16', [17, 5], 32 * 6 * 2],
    ['panel_bf16', [0, 5], 0],
    // 16 rows x 32 columns: 512 values of a byte or half of one, and 16 scales (and minima) of two bytes.
    ['panel_q8', [17, 33], 4 * (512 + 32)],
    ['panel_q4', [16, 32], 256 + 32],
    ['panel_q4_min', [1, 64], 2 * (256 + 64)],
  ];
  for (const [dtype, shape, bytes] of lengths) {
    it(`of ${dtype} [${shape.join(', ')}] is ${bytes}`, () => assert.equal(byteLength(dtype, shape), bytes));
  }

  it('refuses a panel that is not a matrix', () => {
    assert.throws(() => byteLength('panel_f32', [4]), /internal: a panel_f32 tensor is a matrix, got \[4\]/);
  });
});

describe('isPanel', () => {
  it('holds for the packed layouts alone', () => {
    const all: DType[] = ['f32', 'bf16', 'f16', 'i32', 'panel_f32', 'panel_bf16', 'panel_q4_k'];
    assert.deepEqual(all.filter(isPanel), ['panel_f32', 'panel_bf16', 'panel_q4_k']);
  });
});

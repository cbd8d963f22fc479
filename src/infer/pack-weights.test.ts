import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { decodeToF32 } from '../formats/decode-f32.ts';
import { fitQ40 } from '../formats/fit-four-bits.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { STORED_DTYPES, type StoredDType } from '../formats/stored-dtype.ts';
import { readTensorF32, rowOffset, type TensorInfo, type TensorSource } from '../formats/tensor-source.ts';
import { PANEL_ROWS } from '../tensor/dtype.ts';
import { packTensor, rowChunks } from './pack-weights.ts';
import { PANEL_CHOICES } from './stored-weights.ts';
import { testBackends } from './toy-model.ts';

const fixture = await openSafetensors('test/fixtures/formats/gguf-blocks.safetensors');
after(() => fixture.close());

const ROWS = 2 * PANEL_ROWS + 3;

/** A matrix of the fixture's four blocks of a type, in another order in each row. */
async function blocksSource(dtype: keyof typeof PANEL_CHOICES): Promise<TensorSource> {
  const blocks = await fixture.read(`${dtype}.bytes`, 'U8');
  const { blockBytes, blockSize } = STORED_DTYPES[dtype];
  const info: TensorInfo = { dtype, shape: [ROWS, 4 * blockSize], byteLength: ROWS * 4 * blockBytes, location: null };
  const bytes = new Uint8Array(info.byteLength);
  for (let i = 0; i < ROWS * 4; i++) {
    const block = (i + Math.floor(i / 4)) % 4;
    bytes.set(blocks.subarray(block * blockBytes, (block + 1) * blockBytes), i * blockBytes);
  }
  return {
    path: 'memory',
    tensors: new Map([['w', info]]),
    async readRows(_, firstRow, target) {
      const offset = rowOffset(info, firstRow, target);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    async close() {},
  };
}

describe('packing a tensor', () => {
  for (const [name, open] of testBackends()) {
    for (const [dtype, { panel, isExact }] of Object.entries(PANEL_CHOICES)) {
      it(`${isExact ? 'keeps every value of' : 'rounds by at most half a step of 8 bits'} ${dtype}: ${name}`, async () => {
        const source = await blocksSource(dtype as keyof typeof PANEL_CHOICES);
        const storage = open().createStorage(panel, source.tensors.get('w')!.shape);
        await packTensor(source, 'w', storage);
        const [given, expected] = [storage.read(), await readTensorF32(source, 'w')];
        if (isExact || name.startsWith('reference')) return assert.deepEqual(given, expected);
        for (let first = 0; first < expected.length; first += 32) {
          const block = expected.subarray(first, first + 32);
          const largest = Math.max(...block.map(Math.abs));
          for (const [i, value] of block.entries())
            assert.ok(Math.abs(given[first + i]! - value) <= (0.5 / 127 + 1e-3) * largest);
        }
      });
    }
  }

  it('rounds to the 4 bits that fitQ40 finds', async () => {
    for (const [, open] of [...testBackends()].filter(([name]) => name.startsWith('native'))) {
      const source = await blocksSource('Q6_K');
      const values = await readTensorF32(source, 'w');
      const blocks = new Uint8Array((values.length / 32) * STORED_DTYPES.Q4_0.blockBytes);
      fitQ40(values, blocks);
      const expected = new Float32Array(values.length);
      decodeToF32('Q4_0', blocks, expected);
      const storage = open().createStorage('panel_q4', source.tensors.get('w')!.shape);
      await packTensor(source, 'w', storage);
      assert.deepEqual(storage.read(), expected);
    }
  });

  it('cuts a matrix between panels and into small parts', () => {
    for (const shape of [
      [128_256, 4096],
      [5, 48],
      [100_003, 96],
    ] as const) {
      let next = 0;
      for (const [row, count] of rowChunks(shape)) {
        assert.equal(row, next);
        next += count;
        assert.ok(count * shape[1] <= 2 ** 19);
        assert.ok(next === shape[0] || count % PANEL_ROWS === 0);
      }
      assert.equal(next, shape[0]);
    }
  });
});

describe('panels for stored types', () => {
  it('are chosen for every block type that can be read', () => {
    const blockTypes = (Object.keys(STORED_DTYPES) as StoredDType[]).filter((d) => STORED_DTYPES[d].blockSize > 1);
    assert.deepEqual(Object.keys(PANEL_CHOICES).toSorted(), blockTypes.toSorted());
  });
});

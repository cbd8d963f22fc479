import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { byteLength, type DType, PANEL_ROWS, quantisedDTypes } from '../tensor/dtype.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import { createNativeBackend } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { createReferenceBackend } from './reference.ts';

const WRITTEN: readonly DType[] = ['f32', 'bf16', 'f16', 'panel_f32', 'panel_bf16', 'panel_q8', 'panel_q4'];
const [ROWS, COLUMNS] = [3 * PANEL_ROWS + 5, 96];

function values(): Float32Array {
  const drawn = new Float32Array(ROWS * COLUMNS);
  fillNormal(drawn, randomStream(7, 'storage'));
  return drawn;
}

const skip = nativeUnavailableReason() ?? false;
const backends = skip ? [] : [createNativeBackend({ threads: 1 })];

describe('memory of a state', () => {
  for (const backend of [...backends, createReferenceBackend({ precision: 'float32' })]) {
    it(`takes rows in parts, in any order, as it takes them whole: ${backend.name}`, () => {
      const drawn = values();
      for (const dtype of WRITTEN) {
        const whole = backend.createStorage(dtype, [ROWS, COLUMNS]);
        whole.write(drawn);
        const parts = backend.createStorage(dtype, [ROWS, COLUMNS]);
        for (const [first, end] of [
          [2 * PANEL_ROWS, ROWS],
          [0, PANEL_ROWS],
          [PANEL_ROWS, 2 * PANEL_ROWS],
        ] as const) {
          parts.writeRows(first, drawn.subarray(first * COLUMNS, end * COLUMNS));
        }
        assert.deepEqual(parts.read(), whole.read(), dtype);
      }
    });
  }

  it('maps a file: the same values, and writing to it leaves the file alone', { skip }, () => {
    const [backend] = backends;
    const folder = mkdtempSync(join(tmpdir(), 'cria-storage-'));
    try {
      for (const dtype of ['panel_q4', 'panel_f32', 'f32'] as const) {
        const storage = backend!.createStorage(dtype, [ROWS, COLUMNS]);
        storage.write(values());
        const path = join(folder, dtype);
        const page = 4096;
        writeFileSync(path, Buffer.concat([Buffer.alloc(page), storage.bytes!]));
        const map = () => {
          const file = openSync(path, 'r');
          const mapped = backend!.mapStorage(dtype, [ROWS, COLUMNS], file, page)!;
          closeSync(file);
          return mapped;
        };
        const mapped = map();
        assert.equal(mapped.sizeBytes, byteLength(dtype, [ROWS, COLUMNS]));
        assert.deepEqual(mapped.read(), storage.read());
        mapped.write(new Float32Array(ROWS * COLUMNS));
        assert.deepEqual(map().read(), storage.read());
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('takes blocks only where the type is one of quantised panels', { skip }, () => {
    const taking = [...WRITTEN, ...quantisedDTypes].filter(
      (dtype) => backends[0]!.createStorage(dtype, [PANEL_ROWS, 256]).writeBlocks !== null,
    );
    assert.deepEqual(new Set(taking), new Set(quantisedDTypes));
  });
});

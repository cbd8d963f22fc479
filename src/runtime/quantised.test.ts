import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { trace } from '../tensor/graph.ts';
import { isQuantised, type QuantisedDType } from '../tensor/dtype.ts';
import { gather, linear } from '../tensor/ops.ts';
import { fillNormal, randomStream } from '../util/rng.ts';
import type { Backend, Values } from './backend.ts';
import { compile } from './compile.ts';
import { createNativeBackend, supportedIsas } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { createReferenceBackend } from './reference.ts';

/** Types that rows of f32 can be written to, and the largest error of a value as a share of its block's largest magnitude. */
const ROUNDING: [QuantisedDType, number][] = [
  ['panel_q8', 0.6 / 127],
  ['panel_q4', 1.1 / 8], // the scale with the least squared error may clip the extreme
  ['panel_q4_min', 1.1 / 15],
];

function normals(name: string, count: number): Float32Array {
  const values = new Float32Array(count);
  fillNormal(values, randomStream(3, name));
  return values;
}

async function product(
  backend: Backend,
  dtype: QuantisedDType,
  weight: Values,
  x: Float32Array,
  outputs: number,
  columns: number,
): Promise<Values> {
  const rows = x.length / columns;
  const graph = trace((t) =>
    t.output('y', linear(t.input('x', 'f32', [rows, columns]), t.state('w', dtype, [outputs, columns]), 'f32')),
  );
  const storage = backend.createStorage(dtype, [outputs, columns]);
  storage.write(weight);
  const executable = compile(graph, backend, new Map([['w', storage]]));
  const { y } = await executable.run({ x });
  executable.dispose();
  return y!;
}

/** Products with batches of these sizes are near the reference's, and their last row has the bits it has alone. */
async function checkProducts(
  native: Backend,
  dtype: QuantisedDType,
  [outputs, columns]: readonly [number, number],
  batches: readonly number[],
): Promise<void> {
  const source = normals('weight', outputs * columns);
  const storage = native.createStorage(dtype, [outputs, columns]);
  storage.write(source);
  const weight = storage.read();
  const reference = createReferenceBackend({ precision: 'float32' });
  for (const rows of batches) {
    const x = normals(`x${rows}`, rows * columns);
    const given = await product(native, dtype, source, x, outputs, columns);
    const expected = await product(reference, dtype, weight, x, outputs, columns);
    const magnitude = Math.sqrt(columns);
    for (let i = 0; i < expected.length; i++)
      assert.ok(Math.abs(given[i]! - expected[i]!) < 1e-5 * (magnitude + Math.abs(expected[i]!)));
    const last = await product(native, dtype, source, x.subarray(-columns), outputs, columns);
    assert.deepEqual(last, given.slice(-outputs));
  }
}

const unavailable = nativeUnavailableReason();
for (const isa of unavailable === null ? supportedIsas() : []) {
  describe(`quantised weights on ${isa}`, () => {
    const native = createNativeBackend({ isa });

    for (const [dtype, bound] of ROUNDING) {
      it(`${dtype} keeps every value within its rounding error`, () => {
        const [rows, columns] = [33, 96];
        const values = normals('weight', rows * columns);
        const storage = native.createStorage(dtype, [rows, columns]);
        storage.write(values);
        const kept = storage.read();
        for (let first = 0; first < values.length; first += 32) {
          const block = values.subarray(first, first + 32);
          const span =
            dtype === 'panel_q4_min' ? Math.max(...block) - Math.min(...block) : Math.max(...block.map(Math.abs));
          for (const [i, value] of block.entries())
            assert.ok(Math.abs(kept[first + i]! - value) <= bound * span, `${kept[first + i]} for ${value}`);
        }
      });

      it(`${dtype} multiplies as the reference does, a row alone as in a batch, and looks up rows`, async () => {
        const storage = native.createStorage(dtype, [47, 96]);
        storage.write(normals('weight', 47 * 96));
        const weight = storage.read(); // writing these again loses nothing more than f16 scales
        await checkProducts(native, dtype, [47, 96], [1, 2, 3, 17, 33]);
        const lookup = trace((t) => t.output('y', gather(t.state('w', dtype, [47, 96]), t.input('ids', 'i32', [3]))));
        const { y } = await compile(lookup, native, new Map([['w', storage]])).run({ ids: [46, 0, 15] });
        assert.deepEqual(
          y,
          Float32Array.from([46, 0, 15].flatMap((row) => Array.from(weight.subarray(row * 96, row * 96 + 96)))),
        );
      });

      it(`${dtype} multiplies as the reference does over several windows of columns and groups of panels`, async () => {
        await checkProducts(native, dtype, [310, 1184], [1, 2, 4, 5, 6, 7, 13, 40]);
      });
    }
  });
}

describe('quantised types', () => {
  it('are told from others', () => {
    assert.ok(isQuantised('panel_q4_k') && !isQuantised('panel_f32'));
  });
});

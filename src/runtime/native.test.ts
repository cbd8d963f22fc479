import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DType } from '../tensor/dtype.ts';
import { numValues } from '../tensor/dtype.ts';
import { trace } from '../tensor/graph.ts';
import { affine, assign, gather, matmul, mul } from '../tensor/ops.ts';
import { CapacityError, ConfigError, ShapeError } from '../util/errors.ts';
import { compile } from './compile.ts';
import { createNativeBackend, supportedIsas } from './native.ts';
import { renderProfile } from './operator-times.ts';
import { nativeUnavailableReason } from './native-addon.ts';

const skip = nativeUnavailableReason() ?? false;

/** y = 2 x, z = s * x, and s becomes x. */
function counterGraph(length: number) {
  return trace((t) => {
    const x = t.input('x', 'f32', [length]);
    const s = t.state('s', 'f32', [length]);
    t.output('y', affine(x, 2));
    t.output('z', mul(s, x));
    assign(s, x);
  });
}

describe('a native backend', { skip }, () => {
  it('refuses an instruction set that it has not, and names those that it has', () => {
    assert.throws(
      () => createNativeBackend({ isa: 'mmx' }),
      (error: Error) => {
        return error instanceof ConfigError && supportedIsas().every((isa) => error.message.includes(isa));
      },
    );
  });

  it('refuses a number of threads that is none', () => {
    for (const threads of [0, -1, 1.5, Number.NaN, 5000])
      assert.throws(() => createNativeBackend({ threads }), ConfigError);
  });

  it('says how much memory it cannot get', () => {
    assert.throws(
      () => createNativeBackend({ threads: 1 }).createStorage('f32', [2 ** 46]),
      (error: Error) => {
        return error instanceof CapacityError && error.message.includes('MiB');
      },
    );
  });

  it('runs right after a run that could not begin, also where the arena was another before', async () => {
    const backend = createNativeBackend({ threads: 1 });
    const small = compile(counterGraph(3), backend, new Map([['s', backend.createStorage('f32', [3])]]));
    const wrong = { x: [1n, 2n, 3n] as unknown as number[] };
    await assert.rejects(small.run(wrong), TypeError);
    assert.deepEqual((await small.run({ x: [1, 2, 3] })).y, Float32Array.of(2, 4, 6));
    const large = compile(counterGraph(5000), backend, new Map([['s', backend.createStorage('f32', [5000])]]));
    await assert.rejects(small.run(wrong), TypeError);
    assert.deepEqual((await small.run({ x: [3, 4, 5] })).y, Float32Array.of(6, 8, 10));
    large.dispose();
  });

  it('runs plans on states, returns copies of the outputs, and keeps states between runs', async () => {
    const backend = createNativeBackend({ threads: 2 });
    const s = backend.createStorage('f32', [3]);
    s.write([1, 2, 3]);
    const executable = compile(counterGraph(3), backend, new Map([['s', s]]));
    const first = await executable.run({ x: [1, 1, 2] });
    assert.deepEqual(first, { y: Float32Array.of(2, 2, 4), z: Float32Array.of(1, 2, 6) });
    assert.deepEqual((await executable.run({ x: [5, 6, 7] })).z, Float32Array.of(5, 6, 14));
    assert.deepEqual(first.z, Float32Array.of(1, 2, 6));
    assert.deepEqual(s.view, Float32Array.of(5, 6, 7));
    const memory = new Float32Array(4);
    const { y, z } = await executable.run({ x: [1, 1, 2] }, { z: memory, y: new Float32Array(1) });
    assert.deepEqual([z!.buffer === memory.buffer, [...memory], [...y!]], [true, [5, 6, 14, 0], [2, 2, 4]]);
  });

  it('lets runs that are asked for at once take turns, in order, also of plans of other sizes', async () => {
    const backend = createNativeBackend({ threads: 2 });
    const lengths = [5, 100_000, 17];
    const executables = lengths.map((length) =>
      compile(counterGraph(length), backend, new Map([['s', backend.createStorage('f32', [length])]])),
    );
    const jobs = Array.from({ length: 12 }, (_, i) => ({
      i,
      length: lengths[i % 3]!,
      executable: executables[i % 3]!,
    }));
    const results = await Promise.all(
      jobs.map(({ i, length, executable }) => executable.run({ x: new Float32Array(length).fill(i) })),
    );
    for (const { i, length } of jobs) {
      const expected = {
        y: new Float32Array(length).fill(2 * i),
        z: new Float32Array(length).fill(i >= 3 ? i * (i - 3) : 0),
      };
      assert.deepEqual(results[i], expected);
    }
  });

  it('refuses inputs that are unknown, missing or of another size, and goes on afterwards', async () => {
    const backend = createNativeBackend({ threads: 1 });
    const executable = compile(counterGraph(2), backend, new Map([['s', backend.createStorage('f32', [2])]]));
    await assert.rejects(executable.run({ x: [1, 2], w: [1] }), /unknown input w; this plan takes x/);
    await assert.rejects(executable.run({}), /input x is missing/);
    await assert.rejects(executable.run({ x: [1] }), ShapeError);
    assert.deepEqual((await executable.run({ x: [1, 2] })).y, Float32Array.of(2, 4));
  });

  it('gives up a run whose data point out of bounds, with a sentence, and goes on afterwards', async () => {
    const backend = createNativeBackend({ threads: 2 });
    const graph = trace((t) => t.output('y', gather(t.input('table', 'f32', [4, 2]), t.input('ids', 'i32', [2]))));
    const executable = compile(graph, backend, new Map());
    const table = [0, 1, 2, 3, 4, 5, 6, 7];
    await assert.rejects(executable.run({ table, ids: [1, 4] }), /gather/);
    assert.deepEqual((await executable.run({ table, ids: [3, 0] })).y, Float32Array.of(6, 7, 0, 1));
  });

  it('forgets a disposed plan and frees the arena with the last one', async () => {
    const backend = createNativeBackend({ threads: 1 });
    const states = new Map([['s', backend.createStorage('f32', [2])]]);
    const [gone, kept] = [0, 1].map(() => compile(counterGraph(2), backend, states));
    gone!.dispose();
    await assert.rejects(gone!.run({ x: [1, 2] }), /disposed/);
    assert.deepEqual((await kept!.run({ x: [1, 2] })).y, Float32Array.of(2, 4));
  });

  it('gives back what was written to a storage of any type, rounded as the type says', () => {
    const backend = createNativeBackend({ threads: 1 });
    const halves = [1, -2.5, 0.0078125, 65280];
    for (const dtype of ['f32', 'bf16', 'f16', 'i32', 'panel_f32', 'panel_bf16'] satisfies DType[]) {
      for (const shape of [
        [1, 1],
        [16, 2],
        [17, 5],
        [33, 31],
        [0, 4],
      ]) {
        const values = Array.from({ length: numValues(shape) }, (_, i) => (dtype === 'i32' ? i : halves[i % 4]!));
        const storage = backend.createStorage(dtype, shape);
        storage.write(values);
        assert.deepEqual(Array.from(storage.read()), values, `${dtype} [${shape.join(', ')}]`);
      }
    }
  });

  it('tells the time spent in each operator', async () => {
    const backend = createNativeBackend({ threads: 2 });
    const graph = trace((t) => {
      const x = t.input('x', 'f32', [64, 64]);
      t.output('y', matmul(matmul(x, x), x));
    });
    await compile(graph, backend, new Map()).run({ x: new Float32Array(64 * 64) });
    const [time, ...others] = backend.profile();
    assert.ok(time!.op === 'matmul' && time!.calls === 2 && time!.seconds > 0 && others.length === 0);
    assert.match(renderProfile([time!]), /matmul +2 /);
    assert.deepEqual(backend.profile(), []);
  });
});

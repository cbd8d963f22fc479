import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allCases, operatorCases } from '../../test/cases/all.ts';
import type { CaseSize, Numbers, OperatorCase } from '../../test/cases/operator-case.ts';
import { WRONG_DATA } from '../../test/cases/wrong-data.ts';
import { assertClose, evaluate, type Given, randomTensor } from '../../test/support.ts';
import { trace } from '../tensor/graph.ts';
import { affine, matmul } from '../tensor/ops.ts';
import { bfloat16Bits } from '../util/bfloat16.ts';
import { float16Bits, float16Value } from '../util/float16.ts';
import { CapacityError } from '../util/errors.ts';
import type { Executable } from './backend.ts';
import { compile } from './compile.ts';
import { createReferenceBackend, type ReferencePrecision } from './reference.ts';

const SIZES: readonly CaseSize[] = [
  { tokens: 9, dim: 3, rows: 7 },
  { tokens: 33, dim: 2, rows: 5 },
  { tokens: 1, dim: 1, rows: 1 },
  { tokens: 0, dim: 3, rows: 4 },
];
/** For products: several tiles in every direction, none of them whole at the end. */
const LARGE: CaseSize = { tokens: 71, dim: 19, rows: 301 };
const PRODUCTS = [operatorCases.matmul, operatorCases.tokenLogProbs, operatorCases.tokenLogProbsGrad];

// Two float64 sums of some tens of terms; float32 results rounded once or twice; bf16 has 8 bits, halved where two roundings meet.
const TOLERANCE = { float64: 1e-13, f32: 3e-7, bf16: 2 ** -7 };

const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);

function bf16(value: number): number {
  wordBits[0] = bfloat16Bits(value) << 16;
  return word[0]!;
}

/** The values of a tensor as its type holds them. */
function stored({ dtype, values }: Given): Numbers {
  if (dtype.endsWith('bf16')) return Array.from(values, bf16);
  if (dtype === 'f16') return Array.from(values, (value) => float16Value(float16Bits(value)));
  return dtype === 'i32' ? values : Float32Array.from(values);
}

async function check(operatorCase: OperatorCase, precision: ReferencePrecision): Promise<void> {
  const { tensors, body, expected, accuracy } = operatorCase;
  const exact = precision === 'float64';
  const values = Object.entries(tensors).map(([name, tensor]) => [name, exact ? tensor.values : stored(tensor)]);
  const wanted = expected(Object.fromEntries(values), exact ? (value) => value : bf16);
  const actual = await evaluate(createReferenceBackend({ precision }), tensors, body);
  const tolerance = exact ? TOLERANCE.float64 : TOLERANCE[accuracy];
  for (const [name, numbers] of Object.entries(wanted)) {
    assertClose(actual[name]!, numbers, { rtol: tolerance, atol: 10 * tolerance }, name);
  }
}

for (const precision of ['float64', 'float32'] as const) {
  describe(`the reference backend in ${precision} agrees with plain loops`, () => {
    const cases = [...SIZES.flatMap(allCases), ...PRODUCTS.flatMap((casesOf) => casesOf(LARGE))];
    for (const operatorCase of cases) it(operatorCase.name, () => check(operatorCase, precision));
  });
}

const backend = createReferenceBackend({ precision: 'float32' });

describe('a storage of the reference backend', () => {
  // 1 + 2^-9 lies halfway between neighbours in bf16 and takes the even one; 1 + 3 * 2^-11 does in f16.
  const values = [1 + 2 ** -9, 1 + 3 * 2 ** -11, -70000, 0.1];
  for (const [dtype, rounded] of [
    ['f32', [values[0], values[1], -70000, Math.fround(0.1)]],
    ['bf16', [1, 1, -70144, 0.10009765625]],
    ['panel_bf16', [1, 1, -70144, 0.10009765625]],
    ['f16', [1 + 2 ** -9, 1 + 2 ** -9, -Infinity, 0.0999755859375]],
    ['i32', [1, 1, -70000, 0]],
  ] as const) {
    it(`gives back values as ${dtype} holds them`, () => {
      const storage = backend.createStorage(dtype, [2, 2]);
      assert.deepEqual([...storage.read()], [0, 0, 0, 0]);
      storage.write(values);
      assert.deepEqual([...storage.read()], rounded);
      assert.deepEqual(storage.view && [...storage.view], dtype === 'f32' || dtype === 'i32' ? rounded : null);
    });
  }

  it('rounds nothing in float64', () => {
    const storage = createReferenceBackend({ precision: 'float64' }).createStorage('bf16', [1]);
    storage.write([0.1]);
    assert.deepEqual(storage.read(), Float64Array.of(0.1));
  });

  it('refuses a wrong number of values, and sizes that do not exist', () => {
    assert.throws(() => backend.createStorage('f32', [2]).write([1, 2, 3]), /expected 2 values, got 3/);
    assert.throws(() => backend.createStorage('f32', [2 ** 26, 2 ** 26]), CapacityError);
  });
});

function compiled(): Executable {
  const graph = trace((t) => t.output('y', affine(t.input('x', 'f32', [2]), 2)));
  return compile(graph, backend, new Map());
}

describe('an executable of the reference backend', () => {
  it('names the input that is missing, unknown or of a wrong length', async () => {
    const executable = compiled();
    await assert.rejects(executable.run({}), /input x is missing/);
    await assert.rejects(executable.run({ x: [1, 2], z: [1] }), /unknown input z; this plan takes x/);
    await assert.rejects(executable.run({ x: [1, 2, 3] }), /input x: expected 2 values, got 3/);
    assert.deepEqual([...(await executable.run({ x: [1, 2] })).y!], [2, 4]);
  });

  it('copies outputs into the memory given, unless that is of another type or too small', async () => {
    const executable = compiled();
    const memory = Float32Array.of(7, 7, 7);
    const { y } = await executable.run({ x: [1, 2] }, { y: memory });
    assert.deepEqual([y!.buffer === memory.buffer, [...y!], [...memory]], [true, [2, 4], [2, 4, 7]]);
    for (const unfit of [new Float32Array(1), new Float64Array(3)])
      assert.deepEqual((await executable.run({ x: [1, 2] }, { y: unfit })).y, Float32Array.of(2, 4));
  });

  it('runs one plan after the other, and none after dispose', async () => {
    const executable = compiled();
    const runs = [1, 2, 3].map((x) => executable.run({ x: [x, -x] }));
    executable.dispose();
    const late = executable.run({ x: [1, 1] });
    assert.deepEqual(
      (await Promise.all(runs)).map(({ y }) => y),
      [1, 2, 3].map((x) => Float32Array.of(2 * x, -2 * x)),
    );
    await assert.rejects(late, /disposed/);
  });

  it('gives the event loop its turn inside one long operator and between many short runs', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const [a, b] = [randomTensor('a', 'f32', [256, 512]), randomTensor('b', 'f32', [512, 512])];
    await evaluate(backend, { a, b }, (t) => ({ y: matmul(t.a!, t.b!) }));
    const inside = ticks;
    const executable = compiled();
    for (const end = performance.now() + 40; performance.now() < end;) await executable.run({ x: [1, 2] });
    clearInterval(timer);
    assert.ok(inside >= 1 && ticks > inside, `${inside} ticks, then ${ticks}`);
  });

  it('rounds bf16 results to the nearest', async () => {
    const [a, b] = [randomTensor('a', 'f32', [3, 5]), randomTensor('b', 'f32', [5, 4])];
    const { wide, narrow } = await evaluate(backend, { a, b }, (t) => ({
      wide: matmul(t.a!, t.b!),
      narrow: matmul(t.a!, t.b!, { out: 'bf16' }),
    }));
    assert.deepEqual([...narrow!], Array.from(wide!, bf16));
    assert.notDeepEqual(narrow, wide);
  });

  for (const { name, tensors, body } of WRONG_DATA) {
    it(`refuses ${name} of 3`, () => assert.rejects(evaluate(backend, tensors, body), /^CriaError: internal: /));
  }
});

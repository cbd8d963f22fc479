import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { operatorCases } from '../../test/cases/all.ts';
import type { CaseSize } from '../../test/cases/operator-case.ts';
import { WRONG_DATA } from '../../test/cases/wrong-data.ts';
import { assertClose, evaluate, given, randomTensor, relativeError, type Traced } from '../../test/support.ts';
import type { Tensor } from '../tensor/graph.ts';
import type { OpName } from '../tensor/operators.ts';
import { cast, div, exp, greaterEqual, log, maximum, minimum, sigmoid, softplus, sqrt, swiglu } from '../tensor/ops.ts';
import { ShapeError } from '../util/errors.ts';
import type { Values } from './backend.ts';
import { createNativeBackend, supportedIsas } from './native.ts';
import { nativeUnavailableReason } from './native-addon.ts';
import { createReferenceBackend } from './reference.ts';

/** Sizes around the widths of vectors, panels and tiles, and batches without tokens. */
const SIZES: readonly CaseSize[] = [
  { tokens: 1, dim: 1, rows: 1 },
  { tokens: 15, dim: 17, rows: 33 },
  { tokens: 17, dim: 33, rows: 15 },
  { tokens: 33, dim: 15, rows: 17 },
  { tokens: 0, dim: 17, rows: 15 },
];
/** For products: several tiles in every direction. */
const LARGE: CaseSize = { tokens: 131, dim: 259, rows: 197 };
const PRODUCTS = new Set<OpName>(['matmul', 'tokenLogProbs', 'tokenLogProbsGrad']);

// Sums of up to some hundred f32 terms in another order; one rounding to bf16, where a value on the edge may fall either way.
const RELATIVE_NORM = { f32: 3e-6, bf16: 4e-3 };
const ELEMENTWISE = { f32: { rtol: 3e-5, atol: 3e-5 }, bf16: { rtol: 2e-2, atol: 2e-2 } };

const skip = nativeUnavailableReason() ?? false;
const isas = skip ? [] : supportedIsas();
const reference = createReferenceBackend({ precision: 'float32' });
const ops = Object.keys(operatorCases) as OpName[];

function casesOf(op: OpName) {
  const sizes = PRODUCTS.has(op) ? [...SIZES, LARGE] : SIZES;
  return sizes.flatMap((size) => operatorCases[op](size));
}

const references = new Map<string, Promise<Record<string, Values>>>();

describe('the native backend agrees with the reference', { skip }, () => {
  for (const isa of isas) {
    const native = createNativeBackend({ isa });
    for (const op of ops) {
      it(`${isa}: ${op}`, async () => {
        for (const { name, tensors, body, accuracy } of casesOf(op)) {
          if (!references.has(name)) references.set(name, evaluate(reference, tensors, body));
          const expected = await references.get(name)!;
          const actual = await evaluate(native, tensors, body);
          for (const output of Object.keys(expected)) {
            const what = `${name}: ${output}`;
            assertClose(actual[output]!, expected[output]!, ELEMENTWISE[accuracy], what);
            const error = relativeError(actual[output]!, expected[output]!);
            assert.ok(error <= RELATIVE_NORM[accuracy], `${what} is off by ${error} of its norm`);
          }
        }
      });
    }
  }
});

describe('the native backend treats special values as the reference does', { skip }, () => {
  const special = [0, -0, 1e-45, -1e-38, 3e38, -3e38, 88.7, 88.8, -87.4, -95, -104, 500, -500, 65_504, 65_520];
  const values = [...special, Infinity, -Infinity, Number.NaN, 1, -1, 1e-8, 0.1];
  const tensors = {
    x: given('f32', [1, values.length], values),
    one: given(
      'f32',
      [1, values.length],
      values.map(() => 1),
    ),
  };
  const functions: Readonly<Record<string, (x: Tensor, one: Tensor) => Tensor>> = {
    exp,
    log,
    sqrt,
    sigmoid,
    softplus,
    swiglu,
    div: (x, one) => div(one, x),
    minimum,
    maximum,
    greaterEqual,
    'cast to bf16': (x) => cast(cast(x, 'bf16'), 'f32'),
    'cast to f16': (x) => cast(cast(x, 'f16'), 'f32'),
  };
  for (const isa of isas) {
    const native = createNativeBackend({ isa });
    for (const [name, f] of Object.entries(functions)) {
      const body: Traced = ({ x, one }) => ({ y: f(x!, one!) });
      it(`${isa}: ${name}`, async () => {
        const [actual, expected] = [await evaluate(native, tensors, body), await evaluate(reference, tensors, body)];
        // What is below the smallest normal number may become 0.
        for (const [i, value] of values.entries()) {
          assertClose([actual.y![i]!], [expected.y![i]!], { rtol: 1e-6, atol: 2 ** -126 }, `${name}(${value})`);
        }
      });
    }
  }
});

describe('the native backend refuses what the reference refuses, and goes on', { skip }, () => {
  for (const isa of isas) {
    const native = createNativeBackend({ isa });
    for (const { name, tensors, body } of WRONG_DATA) {
      it(`${isa}: ${name} of 3`, async () => {
        await assert.rejects(evaluate(native, tensors, body), /outside|points|not in/);
        const [x, one] = [given('f32', [1], [2]), given('f32', [1], [1])];
        const { y } = await evaluate(native, { x, one }, (t) => ({ y: div(t.one!, t.x!) }));
        assert.deepEqual([...y!], [0.5]);
      });
    }
  }
});

describe('storages of the native backend hold what those of the reference hold', { skip }, () => {
  for (const isa of isas) {
    const native = createNativeBackend({ isa });
    for (const dtype of ['f32', 'bf16', 'f16', 'i32', 'panel_f32', 'panel_bf16'] as const) {
      it(`${isa}: ${dtype}`, () => {
        for (const shape of [
          [1, 1],
          [15, 17],
          [33, 31],
          [0, 4],
        ] as const) {
          const [actual, expected] = [native, reference].map((backend) => backend.createStorage(dtype, shape));
          assert.deepEqual(actual!.read(), expected!.read());
          const { values } = randomTensor('values', 'f32', shape);
          const scaled = Array.from(values, (value) => value * 300);
          actual!.write(scaled);
          expected!.write(scaled);
          assert.deepEqual(actual!.read(), expected!.read(), `[${shape.join(', ')}]`);
          assert.deepEqual(actual!.view, expected!.view);
          assert.throws(() => actual!.write([...scaled, 1]), ShapeError);
        }
      });
    }
  }
});

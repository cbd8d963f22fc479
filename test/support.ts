/**
 * What numerical tests share: random tensors, running traced operators on a backend, comparing arrays, checking gradients.
 */
import assert from 'node:assert/strict';
import { gradients } from '../src/autodiff/gradients.ts';
import type { Backend, Values } from '../src/runtime/backend.ts';
import { compile, type StateStore } from '../src/runtime/compile.ts';
import { createReferenceBackend } from '../src/runtime/reference.ts';
import { type DType, numValues, type Shape } from '../src/tensor/dtype.ts';
import { type Tensor, trace, type Trace } from '../src/tensor/graph.ts';
import { add, cast, mul, sum } from '../src/tensor/ops.ts';
import { fillNormal, randomStream } from '../src/util/rng.ts';

/** A tensor with its values; `isState` ones live in a storage of the backend instead of being an input of the run. */
export interface Given {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly values: ArrayLike<number>;
  readonly isState: boolean;
}

/** Tensors in, by name, to tensors out, by name. */
export type Traced = (tensors: Readonly<Record<string, Tensor>>, trace: Trace) => Readonly<Record<string, Tensor>>;

/** A tensor with these values. */
export function given(dtype: DType, shape: Shape, values: ArrayLike<number>, isState = false): Given {
  assert.equal(values.length, numValues(shape));
  return { dtype, shape, values, isState };
}

/** A tensor of standard normal values, the same for the same name. Panels are states, as only those are packed. */
export function randomTensor(name: string, dtype: DType, shape: Shape, isState = dtype.startsWith('panel')): Given {
  const values = new Float64Array(numValues(shape));
  fillNormal(values, randomStream(1, name));
  return given(dtype, shape, values, isState);
}

/** Runs `body` on a backend; gives its outputs, and what every state holds afterwards under `state.<name>`. */
export async function evaluate(
  backend: Backend,
  tensors: Readonly<Record<string, Given>>,
  body: Traced,
): Promise<Record<string, Values>> {
  const { run, dispose } = prepare(backend, tensors, body);
  const outputs = await run(tensors);
  dispose();
  return outputs;
}

function prepare(backend: Backend, tensors: Readonly<Record<string, Given>>, body: Traced) {
  const states: StateStore = new Map();
  for (const [name, { dtype, shape, isState }] of Object.entries(tensors)) {
    if (isState) states.set(name, backend.createStorage(dtype, shape));
  }
  const graph = trace((t) => {
    const symbolic = Object.entries(tensors).map(([name, { dtype, shape, isState }]) => {
      return [name, isState ? t.state(name, dtype, shape) : t.input(name, dtype, shape)] as const;
    });
    for (const [name, tensor] of Object.entries(body(Object.fromEntries(symbolic), t))) t.output(name, tensor);
  });
  const executable = compile(graph, backend, states);
  const run = async (values: Readonly<Record<string, Given>>): Promise<Record<string, Values>> => {
    for (const [name, state] of states) state.write(values[name]!.values);
    const inputs = Object.entries(values).filter(([name]) => !states.has(name));
    const outputs = await executable.run(Object.fromEntries(inputs.map(([name, input]) => [name, input.values])));
    return { ...outputs, ...Object.fromEntries([...states].map(([name, state]) => [`state.${name}`, state.read()])) };
  };
  return { run, dispose: () => executable.dispose() };
}

/** Throws, naming the worst element, unless |actual - expected| <= atol + rtol * |expected| everywhere. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { rtol = 0, atol = 0 },
  what = 'array',
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  let [worst, excess] = [-1, 1];
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    const ratio = Math.abs(actual[i]! - expected[i]!) / (atol + rtol * Math.abs(expected[i]!));
    if (ratio <= excess) continue; // a NaN on either side goes on
    [worst, excess] = [i, ratio];
    if (Number.isNaN(ratio)) break;
  }
  if (worst === -1) return;
  assert.fail(`${what}[${worst}] is ${actual[worst]}, expected ${expected[worst]}: ${excess} x the tolerance`);
}

/** The norm of the difference over the norm of `expected`; 0 when both are zero. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / size);
}

// The error of a central difference is of the order of step^2 plus 1e-16 / step: both are far below 1e-6.
const DIFFERENCE_STEP = 1e-5;
const GRADIENT_TOLERANCE = 1e-6;

/**
 * Compares the gradient of a traced function with central differences, both in float64, for each tensor in `wrt`: once alone, once added to
 * what is there. The outputs may have any shape; the loss is their sum weighted at random.
 */
export async function gradCheck(
  tensors: Readonly<Record<string, Given>>,
  body: Traced,
  wrt: readonly string[],
): Promise<void> {
  const backend = createReferenceBackend({ precision: 'float64' });
  const shapes: Record<string, Shape> = {};
  const forward = prepare(backend, tensors, (symbolic, t) => {
    const outputs = body(symbolic, t);
    for (const [name, { shape }] of Object.entries(outputs)) shapes[name] = shape;
    return outputs;
  });
  const weights = Object.entries(shapes).map(([name, shape]) => randomTensor(`weight.${name}`, 'f32', shape));
  const loss = async (values: Readonly<Record<string, Given>>): Promise<number> => {
    const outputs = await forward.run(values);
    const parts = Object.keys(shapes).map((name, i) => dot(outputs[name]!, weights[i]!.values));
    return parts.reduce((total, part) => total + part, 0);
  };
  const analytic = await analyticGradients(backend, tensors, body, wrt, weights);
  for (const name of wrt) {
    const numeric = await centralDifferences(tensors, name, loss);
    const error = relativeError(analytic[name]!, numeric);
    assert.ok(error < GRADIENT_TOLERANCE, `gradient of ${name} is off by ${error} of its norm`);
    const sums = numeric.map((value, i) => value + tensors[name]!.values[i]!);
    const sumError = relativeError(analytic[`added.${name}`]!, sums);
    assert.ok(sumError < GRADIENT_TOLERANCE, `gradient of ${name} added to a tensor is off by ${sumError}`);
  }
  forward.dispose();
}

/** The gradient of the weighted sum of what `body` gives, alone under `<name>`, and added to the tensor itself under `added.<name>`. */
function analyticGradients(
  backend: Backend,
  tensors: Readonly<Record<string, Given>>,
  body: Traced,
  wrt: readonly string[],
  weights: readonly Given[],
): Promise<Record<string, Values>> {
  const all = { ...tensors, ...Object.fromEntries(weights.map((weight, i) => [`weight${i}`, weight])) };
  return evaluate(backend, all, (symbolic, t) => {
    const weighted = Object.values(body(symbolic, t)).map((y, i) => sum(mul(cast(y, 'f32'), symbolic[`weight${i}`]!)));
    const loss = weighted.reduce((total, part) => add(total, part));
    const targets = wrt.map((name) => symbolic[name]!);
    const alone = gradients(
      loss,
      targets.map((tensor) => ({ tensor, addTo: null })),
    );
    const added = gradients(
      loss,
      targets.map((tensor) => ({ tensor, addTo: cast(tensor, 'f32') })),
    );
    const named = wrt.flatMap((name, i) => [[name, alone[i]!] as const, [`added.${name}`, added[i]!] as const]);
    return Object.fromEntries(named);
  });
}

async function centralDifferences(
  tensors: Readonly<Record<string, Given>>,
  name: string,
  loss: (values: Readonly<Record<string, Given>>) => Promise<number>,
): Promise<Float64Array> {
  const values = Float64Array.from(tensors[name]!.values);
  const moved = { ...tensors, [name]: { ...tensors[name]!, values } };
  const slopes = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    values[i] = value + DIFFERENCE_STEP;
    const above = await loss(moved);
    values[i] = value - DIFFERENCE_STEP;
    slopes[i] = (above - (await loss(moved))) / (2 * DIFFERENCE_STEP);
    values[i] = value;
  }
  return slopes;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

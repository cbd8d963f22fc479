/**
 * Passes and planner against the plainest plan there is (every node as traced, every tensor in memory of its own), over random graphs:
 * residual sums, products, states that are read, added to and replaced in any order.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertClose } from '../../test/support.ts';
import { byteLength } from '../tensor/dtype.ts';
import { type Graph, rootState, type Tensor, trace, type Trace } from '../tensor/graph.ts';
import { stateUpdates } from '../tensor/operators.ts';
import * as ops from '../tensor/ops.ts';
import { integer, normal, randomStream } from '../util/rng.ts';
import type { Values } from './backend.ts';
import { planFor, type StateStore } from './compile.ts';
import type { Operand, Plan } from './plan.ts';
import { createReferenceBackend } from './reference.ts';

const backend = createReferenceBackend({ precision: 'float64' });
/** Adding to a sum as it begins or when it is complete differs by a rounding; the graphs magnify that a little. */
const TOLERANCE = { rtol: 1e-10, atol: 1e-10 };
const [ROWS, COLUMNS] = [3, 4];
const SHAPE = [ROWS, COLUMNS];

/** A plan without passes and without sharing. */
function plainPlan(graph: Graph): Plan {
  let arenaBytes = 0;
  const places = new Map<Tensor, Operand>();
  const place = (tensor: Tensor): Operand => {
    const root = rootState(tensor);
    const { dtype, shape } = tensor;
    if (root) return { buffer: graph.states.indexOf(root) + 1, byteOffset: 0, byteLength: 0, dtype, shape };
    if (!places.has(tensor)) {
      places.set(tensor, { buffer: 0, byteOffset: arenaBytes, byteLength: byteLength(dtype, shape), dtype, shape });
      arenaBytes += Math.ceil(byteLength(dtype, shape) / 64) * 64;
    }
    return places.get(tensor)!;
  };
  const named = (tensors: Iterable<readonly [string, Tensor]>) =>
    new Map([...tensors].map(([name, tensor]) => [name, place(tensor)]));
  const inputs = named(graph.inputs.map((input) => [input.name, input]));
  const instructions = graph.nodes.map(({ op, attrs, inputs: read, outputs }) => {
    return {
      op,
      attrs,
      inputs: read.map((input) => input && place(input)),
      outputs: outputs.map(place),
      workspace: null,
    };
  });
  const outputs = named(graph.outputs);
  return { states: graph.states.map(({ name }) => name), inputs, outputs, instructions, arenaBytes };
}

/** Draws operators at random, mostly on recent values; gives the graph. */
function randomGraph(seed: number): Graph {
  let draws = 0;
  const pick = (bound: number) => integer(randomStream(seed, 'graph'), draws++, bound);
  return trace((t) => {
    const values = [t.input('x0', 'f32', SHAPE), t.input('x1', 'f32', SHAPE), t.input('x2', 'f32', SHAPE)];
    const ids = t.input('ids', 'i32', [ROWS]);
    const states = new Map(['s0', 's1', 's2'].map((name) => [name, t.state(name, 'f32', SHAPE)]));
    const value = () =>
      pick(5) === 0 ? states.get(`s${pick(3)}`)! : values.at(-1 - pick(Math.min(6, values.length)))!;
    for (let i = 0; i < 25; i++) {
      if (pick(5) > 0) {
        values.push(randomOperator(pick(12), value, ids, t));
        continue;
      }
      const name = `s${pick(3)}`;
      const state = states.get(name)!;
      const replacement = pick(3) === 0 ? value() : ops.add(state, value());
      states.set(name, ops.assign(state, replacement));
      // Versions of the state before this one are gone.
      for (const [place, old] of values.entries()) if (old === state) values[place] = states.get(name)!;
    }
    for (const [i, output] of values.slice(-3).entries()) t.output(`y${i}`, output);
  });
}

function randomOperator(kind: number, value: () => Tensor, ids: Tensor, t: Trace): Tensor {
  const [a, b] = [ops.sigmoid(value()), value()];
  const square = () => ops.matmul(value(), value(), { transposeB: true }); // [ROWS, ROWS]
  const rstd = () => t.apply('rmsNorm', [value(), t.constant(1, [COLUMNS])], { eps: 1, out: 'f32' })[1]!;
  const choices: readonly (() => Tensor)[] = [
    () => ops.add(b, a),
    () => ops.mul(a, b),
    () => ops.swiglu(b, a),
    () => t.apply('swigluGrad', [a, b, value()], {})[pick01(ids)]!,
    () => ops.add(value(), ops.matmul(ops.sigmoid(square()), b)),
    () => ops.add(ops.scatterAdd(a, ids, ROWS), b),
    () => ops.gather(b, ids),
    () => ops.add(t.apply('rmsNormGrad', [a, b, t.constant(2, [COLUMNS]), rstd(), null], {})[0]!, value()),
    () => ops.expand(ops.sum(a), SHAPE),
    () => ops.affine(b, -0.5, 1),
    () => ops.sub(a, b),
    () => tokenGradient(a, b, ids, value(), t),
  ];
  return choices[kind]!();
}

/** Which of two outputs: by the parity of how many nodes there are. */
function pick01(ids: Tensor): 0 | 1 {
  return ids.trace.nodes.length % 2 === 0 ? 0 : 1;
}

/** Both the loss operator and its gradient on the same inputs, so that the pass that merges them has work. */
function tokenGradient(x: Tensor, weight: Tensor, ids: Tensor, other: Tensor, t: Trace): Tensor {
  const logp = ops.tokenLogProbs(x, weight, ids, 'f32');
  const dlogp = t.constant(0.5, [ROWS]);
  const [, dx, dweight] = t.apply('tokenLogProbsGrad', [dlogp, x, weight, ids, null], { precision: 'f32' });
  return ops.add(ops.add(ops.expand(ops.sum(logp), SHAPE), dx!), ops.add(other, dweight!));
}

function randomValues(name: string): Float64Array {
  return Float64Array.from({ length: ROWS * COLUMNS }, (_, i) => normal(randomStream(0, name), i));
}

async function run(graph: Graph, plan: Plan): Promise<Record<string, Values>> {
  const states: StateStore = new Map();
  for (const { name } of graph.states) {
    states.set(name, backend.createStorage('f32', SHAPE));
    states.get(name)!.write(randomValues(name));
  }
  const executable = backend.load(plan, states);
  const inputs = { x0: randomValues('x0'), x1: randomValues('x1'), x2: randomValues('x2'), ids: [1, 0, 1] };
  await executable.run(inputs);
  const outputs = await executable.run(inputs); // a second run starts from what the first left in memory
  executable.dispose();
  return { ...outputs, ...Object.fromEntries([...states].map(([name, state]) => [name, state.read()])) };
}

describe('passes and planner keep the meaning of a graph', () => {
  it('over 150 random graphs, two runs each', async () => {
    let [shared, folded] = [0, 0];
    for (let seed = 0; seed < 150; seed++) {
      const graph = randomGraph(seed);
      const [plain, planned] = [plainPlan(graph), planFor(graph, backend)];
      const [actual, expected] = [await run(graph, planned), await run(graph, plain)];
      for (const [name, values] of Object.entries(expected)) {
        assertClose(actual[name]!, values, TOLERANCE, `seed ${seed}: ${name}`);
      }
      if (planned.arenaBytes < plain.arenaBytes / 2) shared++;
      const updates = planned.instructions.filter(({ op }) => stateUpdates[op]).length;
      if (updates < graph.nodes.filter(({ op }) => stateUpdates[op]).length) folded++;
    }
    assert.ok(shared > 100 && folded > 50, `memory was shared in ${shared} graphs, assigns spared in ${folded}`);
  });
});

import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { assertClose } from '../../test/support.ts';
import { compile, createStates, type StateStore } from '../runtime/compile.ts';
import { createReferenceBackend } from '../runtime/reference.ts';
import type { Shape } from '../tensor/dtype.ts';
import { normal, randomStream } from '../util/rng.ts';
import {
  adamwGraph,
  adamwHyper,
  gradientName,
  gradientNormGraph,
  HYPER_INPUT,
  momentNames,
  SQUARED_NORM_OUTPUT,
} from './adamw.ts';
import { clipCoefficient } from './clip.ts';

const OPTIONS = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
const SHAPES = new Map<string, Shape>([
  ['matrix', [2, 3]],
  ['vector', [4]],
]);

function randomValues(name: string, length: number): number[] {
  return Array.from({ length }, (_, i) => normal(randomStream(1, name), i));
}

function states(): { store: StateStore; run: (graph: ReturnType<typeof adamwGraph>) => ReturnType<typeof compile> } {
  const backend = createReferenceBackend({ precision: 'float64' });
  const store: StateStore = new Map();
  for (const [name, shape] of SHAPES) {
    for (const state of [name, gradientName(name), ...momentNames(name)]) {
      createStates(backend, store, new Map([[state, shape]]), 'f32');
    }
  }
  return { store, run: (graph) => compile(graph, backend, store) };
}

describe('adamwGraph', () => {
  it('takes ten steps as the published algorithm does, decaying matrices only, and empties the gradients', async () => {
    const { store, run } = states();
    const update = run(adamwGraph(SHAPES, OPTIONS));
    const { beta1, beta2, eps, weightDecay } = OPTIONS;
    for (const [name, shape] of SHAPES) {
      const size = shape.reduce((a, b) => a * b, 1);
      const p = randomValues(name, size);
      const m = p.map(() => 0);
      const v = p.map(() => 0);
      store.get(name)!.write(p);
      for (let t = 1; t <= 10; t++) {
        const [lr, scale] = [0.01 * t, t % 2 === 0 ? 1 : 0.3];
        const gradient = randomValues(`${name}.${t}`, size);
        store.get(gradientName(name))!.write(gradient);
        await update.run({ [HYPER_INPUT]: Array.from(adamwHyper(lr, t, OPTIONS, scale)) });
        for (let i = 0; i < size; i++) {
          const g = gradient[i]! * scale;
          m[i] = beta1 * m[i]! + (1 - beta1) * g;
          v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
          p[i]! *= 1 - lr * (name === 'matrix' ? weightDecay : 0);
          p[i]! -= (lr * (m[i]! / (1 - beta1 ** t))) / (Math.sqrt(v[i]! / (1 - beta2 ** t)) + eps);
        }
        const tolerance = { rtol: 1e-6, atol: 1e-7 }; // the hyper-parameters are float32
        assertClose(store.get(name)!.read(), p, tolerance, `${name} after ${t}`);
        const [mName, vName] = momentNames(name);
        assertClose(store.get(mName)!.read(), m, tolerance, `m of ${name}`);
        assertClose(store.get(vName)!.read(), v, tolerance, `v of ${name}`);
        assert.ok(
          store
            .get(gradientName(name))!
            .read()
            .every((value) => value === 0),
        );
      }
    }
  });
});

describe('gradientNormGraph', () => {
  it('sums the squares of all gradients', async () => {
    const { store, run } = states();
    store.get(gradientName('matrix'))!.write([1, 2, 3, 4, 5, 6]);
    store.get(gradientName('vector'))!.write([0, -1, 0, 3]);
    const outputs = await run(gradientNormGraph(SHAPES)).run({});
    assert.equal(outputs[SQUARED_NORM_OUTPUT]![0], 101);
  });
});

describe('clipCoefficient', () => {
  it('shrinks to the largest norm and never grows', () => {
    assert.ok(Math.abs(clipCoefficient(4, 1) - 0.25) < 1e-6);
    assert.equal(clipCoefficient(0.5, 1), 1);
    assert.equal(clipCoefficient(0, 1), 1);
    assert.equal(clipCoefficient(9, null), 1);
  });
});

/**
 * Against Meta's own code (test/fixtures/meta-tiny): logits, gradients and ten AdamW steps, on every backend and instruction set.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { llamaWeightShapes } from '../../src/model/config.ts';
import type { Backend } from '../../src/runtime/backend.ts';
import { compile } from '../../src/runtime/compile.ts';
import { createNativeBackend, supportedIsas } from '../../src/runtime/native.ts';
import { nativeUnavailableReason } from '../../src/runtime/native-addon.ts';
import { createReferenceBackend } from '../../src/runtime/reference.ts';
import { hashGraph } from '../../src/tensor/print.ts';
import {
  batchInputs,
  config,
  expected,
  gradientGraph,
  loadStates,
  logitsGraph,
  readFixture,
  runTrajectory,
} from './meta-tiny.ts';

type Numbers = ArrayLike<number>;

function maxAbsDifference(a: Numbers, b: Numbers): number {
  assert.equal(a.length, b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

/** The norm of a - b over the norm of b. */
function relativeDifference(a: Numbers, b: Numbers): number {
  assert.equal(a.length, b.length);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

async function worstGradient(backend: Backend, precision: 'f32' | 'bf16'): Promise<{ worst: number; loss: number }> {
  const states = await loadStates(backend);
  const inputs = await batchInputs();
  const valid = inputs.targets!.filter((target) => target >= 0).length;
  const { loss } = await compile(gradientGraph(precision), backend, states).run({ ...inputs, lossScale: [1 / valid] });
  const golden = await readFixture('grads.safetensors');
  const errors = [...llamaWeightShapes(config).keys()].map((name) =>
    relativeDifference(states.get(`grad.${name}`)!.read(), golden.get(name)!),
  );
  return { worst: Math.max(...errors), loss: loss![0]! };
}

const isas = nativeUnavailableReason() === null ? supportedIsas() : [];
const backends: [string, () => Backend][] = [
  ['reference float64', () => createReferenceBackend({ precision: 'float64' })],
  ['reference float32', () => createReferenceBackend({ precision: 'float32' })],
  ...isas.map((isa): [string, () => Backend] => [`native ${isa}`, () => createNativeBackend({ isa })]),
];

for (const [name, createBackend] of backends) {
  describe(`parity with Meta's code: ${name}`, () => {
    it('gives its logits within 1e-4', async () => {
      const backend = createBackend();
      const { targets: _, ...forward } = await batchInputs();
      const { logits } = await compile(logitsGraph('f32'), backend, await loadStates(backend)).run(forward);
      assert.ok(maxAbsDifference(logits!, (await readFixture('logits.safetensors')).get('logits')!) < 1e-4);
    });

    it('gives its loss and every gradient tensor within 1e-4', async () => {
      const { worst, loss } = await worstGradient(createBackend(), 'f32');
      assert.ok(Math.abs(loss / expected.loss - 1) < 1e-5, `loss ${loss}`);
      assert.ok(worst < 1e-4, `worst relative gradient error ${worst}`);
    });

    it('follows its ten AdamW steps within 1e-3', async () => {
      const steps = await runTrajectory(createBackend(), 'f32');
      for (const [i, { loss, gradNorm }] of steps.entries()) {
        const golden = expected.trajectory[i]!;
        assert.ok(Math.abs(loss / golden.loss - 1) < 1e-3, `loss of step ${i}: ${loss}, theirs ${golden.loss}`);
        assert.ok(Math.abs(gradNorm / golden.grad_norm - 1) < 1e-2, `gradient norm of step ${i}`);
      }
    });

    it('keeps every gradient tensor within 2e-2 in bf16 mode', async () => {
      const { worst } = await worstGradient(createBackend(), 'bf16');
      assert.ok(worst < 2e-2, `worst relative gradient error ${worst}`);
    });
  });
}

describe('native kernels', () => {
  it('are tested', { skip: nativeUnavailableReason() ?? false }, () => assert.ok(isas.length > 0));
});

describe('tracing', () => {
  it('gives the same graph every time, and another for other arithmetic', () => {
    assert.equal(hashGraph(gradientGraph('f32')), hashGraph(gradientGraph('f32')));
    assert.notEqual(hashGraph(gradientGraph('f32')), hashGraph(gradientGraph('bf16')));
  });
});

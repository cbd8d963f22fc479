import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Backend } from '../runtime/backend.ts';
import { planFor } from '../runtime/compile.ts';
import type { Plan } from '../runtime/plan.ts';
import { randomStream, integer } from '../util/rng.ts';
import { stepCompiler } from './step-compiler.ts';
import { stepGraph, type StepShape } from './step-graph.ts';
import { testBackends, toyModel } from './toy-model.ts';

/** Shapes of all kinds: all logits wanted, some, none; hidden states too; one token to hundreds. */
function shapes(): StepShape[] {
  const random = randomStream(7, 'shapes');
  return Array.from({ length: 40 }, (_, i) => {
    const draw = (most: number, k: number): number => 1 + integer(random, 8 * i + k, most);
    const numTokens = draw(i % 2 ? 8 : 300, 0);
    const numRows = [numTokens, 0, draw(numTokens, 1)][i % 3]!;
    const numHiddenRows = i % 5 === 0 ? draw(numTokens, 2) : 0;
    return { numTokens, numSegments: draw(8, 3), numEntries: 32 << (i % 3), numRows, numHiddenRows };
  }).filter(({ numRows, numHiddenRows }) => numRows > 0 || numHiddenRows > 0);
}

describe('the compiler of steps', () => {
  it('gives for every shape the plan of the graph traced at that shape', () => {
    const plans: Plan[] = [];
    const [, open] = [...testBackends()].at(-1)!;
    const model = toyModel(open(), { weightType: 'q4', kvType: 'f16' });
    const backend = Object.create(model.backend, {
      workspaceBytes: { value: (node: never) => model.backend.workspaceBytes(node) },
      load: { value: (plan: Plan) => plans.push(plan) },
    }) as Backend;
    const compiler = stepCompiler({ ...model, backend });
    for (const shape of shapes()) {
      compiler(shape);
      assert.deepEqual(plans.at(-1), planFor(stepGraph(model, shape), model.backend));
    }
    assert.ok(plans.length > 20);
  });
});

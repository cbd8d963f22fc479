/**
 * The optimised graphs of a tiny training step, byte for byte: a refactoring leaves them alone, a change of what is computed shows as a diff.
 * `UPDATE_GOLDEN=1 npm test golden` rewrites them; say in the commit why they changed.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { optimise } from '../../src/runtime/passes.ts';
import { printGraph } from '../../src/tensor/print.ts';
import { gradientGraph, updateGraph } from '../parity/meta-tiny.ts';

const GRAPHS = {
  'train-f32': () => gradientGraph('f32'),
  'train-bf16': () => gradientGraph('bf16'),
  update: () => updateGraph(),
};

describe('golden graphs', () => {
  for (const [name, graph] of Object.entries(GRAPHS)) {
    it(`${name} is what it was`, () => {
      const file = new URL(`${name}.txt`, import.meta.url);
      const printed = printGraph(optimise(graph()));
      if (process.env.UPDATE_GOLDEN) writeFileSync(file, printed);
      assert.equal(printed, readFileSync(file, 'utf8'));
    });
  }
});

import { describe, it } from 'node:test';
import { allCases } from '../../test/cases/all.ts';
import { gradCheck } from '../../test/support.ts';

describe('the gradient of each operator agrees with central differences', () => {
  const sizes = [
    { tokens: 8, dim: 3, rows: 5 },
    { tokens: 1, dim: 1, rows: 1 },
    { tokens: 0, dim: 2, rows: 3 },
  ];
  for (const { name, tensors, body, wrt } of sizes.flatMap(allCases)) {
    if (wrt.length === 0) continue;
    it(name, () => gradCheck(tensors, (symbolic, trace) => ({ y: body(symbolic, trace).y! }), wrt));
  }
});

/**
 * Cases of the operators that work row by row or move rows: gather, scatterAdd, rmsNorm and its gradient.
 *
 * T tokens, D dim, R rows.
 */
import { gather, scatterAdd } from '../../src/tensor/ops.ts';
import { randomTensor } from '../support.ts';
import { type CaseSize, matrix, type OperatorCase, operatorCase, randomIds, total, vector } from './operator-case.ts';

const EPS = 1e-5;
const FLOAT_TYPES = ['f32', 'bf16'] as const;

export function gatherCases({ tokens: T, dim: D, rows: R }: CaseSize): OperatorCase[] {
  return ([...FLOAT_TYPES, 'panel_f32', 'panel_bf16'] as const).map((dtype) =>
    operatorCase(`gather ${dtype} [${R}, ${D}] [${T}]`, {
      tensors: { table: randomTensor('table', dtype, [R, D]), ids: randomIds('ids', T, R) },
      body: (t) => ({ y: gather(t.table!, t.ids!) }),
      expected: ({ table, ids }) => ({ y: matrix([T, D], (t, d) => table![ids![t]! * D + d]!) }),
      wrt: dtype.startsWith('panel') ? [] : ['table'],
      accuracy: 'f32',
    }),
  );
}

export function scatterAddCases({ tokens: T, dim: D, rows: R }: CaseSize): OperatorCase[] {
  return [false, true].map((hasAddend) =>
    operatorCase(`scatterAdd${hasAddend ? ' + c' : ''} [${T}, ${D}] into [${R}, ${D}]`, {
      tensors: {
        values: randomTensor('values', 'f32', [T, D]),
        ids: randomIds('ids', T, R),
        ...(hasAddend ? { c: randomTensor('c', 'f32', [R, D]) } : {}),
      },
      body: (t, trace) => ({
        y: t.c
          ? trace.apply('scatterAdd', [t.values!, t.ids!, t.c], { rows: R })[0]!
          : scatterAdd(t.values!, t.ids!, R),
      }),
      expected: ({ values, ids, c }) => ({
        y: matrix([R, D], (r, d) => {
          return (c ? c[r * D + d]! : 0) + total(T, (t) => (ids![t] === r ? values![t * D + d]! : 0));
        }),
      }),
      wrt: hasAddend ? ['values', 'c'] : ['values'],
    }),
  );
}

export function rmsNormCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return FLOAT_TYPES.flatMap((dtype) =>
    FLOAT_TYPES.map((out) =>
      operatorCase(`rmsNorm ${dtype} to ${out} [${T}, ${D}]`, {
        tensors: { x: randomTensor('x', dtype, [T, D]), weight: randomTensor('weight', 'f32', [D]) },
        body: (t, trace) => {
          const [y, rstd] = trace.apply('rmsNorm', [t.x!, t.weight!], { eps: EPS, out });
          return { y: y!, rstd: rstd! };
        },
        expected: ({ x, weight }) => {
          const rms = (t: number) => Math.sqrt(total(D, (d) => x![t * D + d]! ** 2) / D + EPS);
          return {
            y: matrix([T, D], (t, d) => (x![t * D + d]! / rms(t)) * weight![d]!),
            rstd: vector(T, (t) => 1 / rms(t)),
          };
        },
        wrt: ['x', 'weight'],
        accuracy: out,
      }),
    ),
  );
}

/** rstd is given as a tensor of its own: the gradient takes it as it is. */
export function rmsNormGradCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return FLOAT_TYPES.flatMap((dtype) =>
    [false, true].map((hasAddend) =>
      operatorCase(`rmsNormGrad ${dtype}${hasAddend ? ' + c' : ''} [${T}, ${D}]`, {
        tensors: {
          dy: randomTensor('dy', dtype, [T, D]),
          x: randomTensor('x', dtype, [T, D]),
          weight: randomTensor('weight', 'f32', [D]),
          rstd: { ...randomTensor('rstd', 'f32', [T]), values: vector(T, (t) => 0.5 + (t % 7) / 7) },
          ...(hasAddend ? { c: randomTensor('c', 'f32', [T, D]) } : {}),
        },
        body: (t, trace) => {
          const [dx, dweight] = trace.apply('rmsNormGrad', [t.dy!, t.x!, t.weight!, t.rstd!, t.c ?? null], {});
          return { dx: dx!, dweight: dweight! };
        },
        expected: ({ dy, x, weight, rstd, c }) => ({
          // With r = (mean(x^2) + eps)^(-1/2): dr / dx_d = -r^3 x_d / D.
          dx: matrix([T, D], (t, d) => {
            const dr = total(D, (j) => dy![t * D + j]! * weight![j]! * x![t * D + j]!);
            const direct = dy![t * D + d]! * weight![d]! * rstd![t]!;
            return (c ? c[t * D + d]! : 0) + direct - (dr * rstd![t]! ** 3 * x![t * D + d]!) / D;
          }),
          dweight: vector(D, (d) => total(T, (t) => dy![t * D + d]! * x![t * D + d]! * rstd![t]!)),
        }),
        accuracy: 'f32',
      }),
    ),
  );
}

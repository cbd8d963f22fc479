/**
 * Cases of the operators that multiply matrices: matmul in every transposition, precision and weight layout, and the fused losses.
 */
import type { DType } from '../../src/tensor/dtype.ts';
import type { Precision } from '../../src/tensor/operators.ts';
import { matmul, type MatmulOptions, tokenLogProbs } from '../../src/tensor/ops.ts';
import { type Given, given, randomTensor } from '../support.ts';
import {
  type CaseSize,
  matrix,
  type Numbers,
  type OperatorCase,
  operatorCase,
  randomIds,
  type Round,
  total,
  vector,
} from './operator-case.ts';

interface MatmulVariant extends Omit<MatmulOptions, 'addend'> {
  a: DType;
  b: DType;
  addend?: boolean;
}

/** A form of operands and results in all four transpositions. */
function transposed(variant: MatmulVariant): MatmulVariant[] {
  const aTransposed = { ...variant, transposeA: true };
  return [variant, { ...variant, transposeB: true }, aTransposed, { ...aTransposed, transposeB: true }];
}

const MATMULS: readonly MatmulVariant[] = [
  ...transposed({ a: 'f32', b: 'f32' }),
  ...transposed({ a: 'f32', b: 'f32', addend: true }),
  ...transposed({ a: 'f32', b: 'f32', precision: 'bf16' }),
  ...transposed({ a: 'bf16', b: 'bf16', precision: 'bf16', addend: true }),
  ...transposed({ a: 'bf16', b: 'f32', precision: 'bf16', out: 'bf16' }),
  { a: 'f32', b: 'bf16', transposeB: true, precision: 'bf16' },
  { a: 'bf16', b: 'f32', transposeB: true, precision: 'f32' },
  { a: 'f32', b: 'bf16', precision: 'f32', addend: true },
  { a: 'f32', b: 'f32', transposeB: true, out: 'bf16' },
  { a: 'f32', b: 'panel_f32', transposeB: true },
  { a: 'bf16', b: 'panel_f32', transposeB: true, addend: true },
  { a: 'f32', b: 'panel_bf16', transposeB: true, precision: 'bf16' },
  { a: 'bf16', b: 'panel_bf16', transposeB: true, precision: 'bf16', out: 'bf16' },
  { a: 'bf16', b: 'panel_bf16', transposeB: true, precision: 'bf16', addend: true },
];

/** a [M, K] times b [K, N] in every form; M tokens, K dim, N rows. */
export function matmulCases({ tokens: M, dim: K, rows: N }: CaseSize): OperatorCase[] {
  return MATMULS.map(({ a, b, addend = false, ...options }) => {
    const { transposeA = false, transposeB = false, precision = 'f32', out = 'f32' } = options;
    const tensors: Record<string, Given> = {
      a: randomTensor('a', a, transposeA ? [K, M] : [M, K]),
      b: randomTensor('b', b, transposeB ? [N, K] : [K, N]),
    };
    if (addend) tensors.c = randomTensor('c', 'f32', [M, N]);
    const form = `${a}${transposeA ? '^T' : ''} ${b}${transposeB ? '^T' : ''}${addend ? ' + c' : ''}`;
    return operatorCase(`matmul ${form}, ${precision} to ${out}, [${M}, ${K}, ${N}]`, {
      tensors,
      body: (t) => ({ y: matmul(t.a!, t.b!, { ...options, addend: t.c ?? null }) }),
      expected: (v, roundBf16) => {
        const round = precision === 'bf16' ? roundBf16 : (value: number) => value;
        const aAt = (m: number, k: number) => round(v.a![transposeA ? k * M + m : m * K + k]!);
        const bAt = (k: number, n: number) => round(v.b![transposeB ? n * K + k : k * N + n]!);
        return {
          y: matrix([M, N], (m, n) => (v.c ? v.c[m * N + n]! : 0) + total(K, (k) => aAt(m, k) * bAt(k, n))),
        };
      },
      wrt: b.startsWith('panel') ? [] : ['a', 'b', ...(addend ? ['c'] : [])],
      accuracy: out,
    });
  });
}

const LOSS_TYPES: readonly (readonly [x: DType, weight: DType, precision: Precision])[] = [
  ['f32', 'f32', 'f32'],
  ['f32', 'f32', 'bf16'],
  ['bf16', 'f32', 'bf16'],
  ['bf16', 'bf16', 'bf16'],
  ['bf16', 'f32', 'f32'],
];

/** Log-probability of each token: T tokens, D dim, V rows. Every fifth target is ignored. */
export function tokenLogProbsCases(size: CaseSize): OperatorCase[] {
  const { tokens: T, dim: D, rows: V } = size;
  return LOSS_TYPES.map(([xType, weightType, precision]) =>
    operatorCase(`tokenLogProbs ${xType} ${weightType} ${precision} [${T}, ${D}, ${V}]`, {
      tensors: lossTensors(size, xType, weightType),
      body: ({ x, weight, targets }) => ({ y: tokenLogProbs(x!, weight!, targets!, precision) }),
      expected: (v, roundBf16) => {
        const logProbs = logProbsOf(v, size, precision === 'bf16' ? roundBf16 : exact);
        return { y: vector(T, (t) => (v.targets![t]! < 0 ? 0 : logProbs[t * V + v.targets![t]!]!)) };
      },
      wrt: ['x', 'weight'],
      accuracy: 'f32',
    }),
  );
}

/** The gradient of the log-probabilities, alone and added to what is there. */
export function tokenLogProbsGradCases(size: CaseSize): OperatorCase[] {
  const { tokens: T, dim: D, rows: V } = size;
  return LOSS_TYPES.flatMap(([xType, weightType, precision]) =>
    [false, true].map((hasAddend) =>
      operatorCase(
        `tokenLogProbsGrad ${xType} ${weightType} ${precision}${hasAddend ? ' + c' : ''} [${T}, ${D}, ${V}]`,
        {
          tensors: {
            ...lossTensors(size, xType, weightType),
            dlogp: randomTensor('dlogp', 'f32', [T]),
            ...(hasAddend ? { c: randomTensor('c', 'f32', [V, D]) } : {}),
          },
          body: ({ dlogp, x, weight, targets, c }, trace) => {
            const inputs = [dlogp!, x!, weight!, targets!, c ?? null];
            const [logp, dx, dweight] = trace.apply('tokenLogProbsGrad', inputs, { precision });
            return { logp: logp!, dx: dx!, dweight: dweight! };
          },
          expected: (v, roundBf16) => {
            const round = precision === 'bf16' ? roundBf16 : exact;
            const logProbs = logProbsOf(v, size, round);
            const dLogit = matrix([T, V], (t, j) => {
              if (v.targets![t]! < 0) return 0;
              return v.dlogp![t]! * ((j === v.targets![t] ? 1 : 0) - Math.exp(logProbs[t * V + j]!));
            });
            return {
              logp: vector(T, (t) => (v.targets![t]! < 0 ? 0 : logProbs[t * V + v.targets![t]!]!)),
              dx: matrix([T, D], (t, d) => total(V, (j) => dLogit[t * V + j]! * round(v.weight![j * D + d]!))),
              dweight: matrix([V, D], (j, d) => {
                return (v.c ? v.c[j * D + d]! : 0) + total(T, (t) => dLogit[t * V + j]! * round(v.x![t * D + d]!));
              }),
            };
          },
          accuracy: precision,
        },
      ),
    ),
  );
}

function exact(value: number): number {
  return value;
}

function lossTensors({ tokens: T, dim: D, rows: V }: CaseSize, xType: DType, weightType: DType) {
  const ids = Int32Array.from(randomIds('targets', T, V).values, (id, t) => (t % 5 === 3 ? -1 : id));
  return {
    x: randomTensor('x', xType, [T, D]),
    weight: randomTensor('weight', weightType, [V, D]),
    targets: given('i32', [T], ids),
  };
}

/** log softmax(weight x) of every token and vocabulary entry. */
function logProbsOf(v: Readonly<Record<string, Numbers>>, { tokens: T, dim: D, rows: V }: CaseSize, round: Round) {
  const logits = matrix([T, V], (t, j) => total(D, (d) => round(v.x![t * D + d]!) * round(v.weight![j * D + d]!)));
  const normalisers = vector(T, (t) => Math.log(total(V, (i) => Math.exp(logits[t * V + i]!))));
  return matrix([T, V], (t, j) => logits[t * V + j]! - normalisers[t]!);
}

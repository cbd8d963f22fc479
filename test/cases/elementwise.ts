/**
 * Cases of the operators that work value by value, sum values, or change a whole state.
 */
import * as ops from '../../src/tensor/ops.ts';
import { type Given, given, randomTensor } from '../support.ts';
import { type CaseSize, type OperatorCase, operatorCase, total, vector } from './operator-case.ts';

type Cases = (size: CaseSize) => OperatorCase[];

/** f over standard normal values, or over their absolute values where the operator needs positive ones. */
export function unaryCases(op: 'exp' | 'log' | 'sqrt' | 'sigmoid' | 'softplus', f: (x: number) => number): Cases {
  const positive = op === 'log' || op === 'sqrt';
  return ({ tokens: T, dim: D }) => {
    const x = randomTensor('x', 'f32', [T, D]);
    const values = Array.from(x.values, (value) => (positive ? Math.abs(value) + 0.1 : value));
    return [
      operatorCase(`${op} [${T}, ${D}]`, {
        tensors: { x: { ...x, values } },
        body: (t) => ({ y: ops[op](t.x!) }),
        expected: (v) => ({ y: vector(T * D, (i) => f(v.x![i]!)) }),
        wrt: ['x'],
      }),
    ];
  };
}

type BinaryOp = 'add' | 'sub' | 'mul' | 'div' | 'minimum' | 'maximum' | 'greaterEqual';

/** f over pairs of standard normal values; divisors stay away from 0. */
export function binaryCases(op: BinaryOp, f: (a: number, b: number) => number): Cases {
  const types = op === 'add' ? (['f32', 'bf16'] as const) : (['f32'] as const);
  return ({ tokens: T, dim: D }) =>
    types.flatMap((aType) =>
      types.map((bType) => {
        const b = randomTensor('b', bType, [T, D]);
        const values = Array.from(b.values, (value) => (op === 'div' ? value + Math.sign(value) : value));
        return operatorCase(`${op} ${aType} ${bType} [${T}, ${D}]`, {
          tensors: { a: randomTensor('a', aType, [T, D]), b: { ...b, values } },
          body: (t) => ({ y: ops[op](t.a!, t.b!) }),
          expected: (v) => ({ y: vector(T * D, (i) => f(v.a![i]!, v.b![i]!)) }),
          wrt: op === 'greaterEqual' ? [] : ['a', 'b'],
          accuracy: aType === 'bf16' && bType === 'bf16' ? 'bf16' : 'f32',
        });
      }),
    );
}

export function affineCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return [
    operatorCase(`affine [${T}, ${D}]`, {
      tensors: { x: randomTensor('x', 'f32', [T, D]) },
      body: (t) => ({ y: ops.affine(t.x!, -1.5, 0.25) }),
      expected: ({ x }) => ({ y: vector(T * D, (i) => -1.5 * x![i]! + 0.25) }),
      wrt: ['x'],
    }),
  ];
}

const SWIGLU_TYPES = ['f32', 'bf16'] as const;

export function swigluCases({ tokens: T, dim: F }: CaseSize): OperatorCase[] {
  return SWIGLU_TYPES.flatMap((dtype) =>
    SWIGLU_TYPES.map((out) =>
      operatorCase(`swiglu ${dtype} to ${out} [${T}, ${F}]`, {
        tensors: { gate: randomTensor('gate', dtype, [T, F]), up: randomTensor('up', dtype, [T, F]) },
        body: (t) => ({ y: ops.swiglu(t.gate!, t.up!, out) }),
        expected: ({ gate, up }) => ({ y: vector(T * F, (i) => (gate![i]! * up![i]!) / (1 + Math.exp(-gate![i]!))) }),
        wrt: ['gate', 'up'],
        accuracy: out,
      }),
    ),
  );
}

export function swigluGradCases({ tokens: T, dim: F }: CaseSize): OperatorCase[] {
  return SWIGLU_TYPES.flatMap((dyType) =>
    SWIGLU_TYPES.map((dtype) =>
      operatorCase(`swigluGrad ${dyType} ${dtype} [${T}, ${F}]`, {
        tensors: {
          dy: randomTensor('dy', dyType, [T, F]),
          gate: randomTensor('gate', dtype, [T, F]),
          up: randomTensor('up', dtype, [T, F]),
        },
        body: (t, trace) => {
          const [dgate, dup] = trace.apply('swigluGrad', [t.dy!, t.gate!, t.up!], {});
          return { dgate: dgate!, dup: dup! };
        },
        expected: ({ dy, gate, up }) => ({
          // With s = sigmoid(g): d(g s) / dg = s + g s (1 - s).
          dgate: vector(T * F, (i) => {
            const s = 1 / (1 + Math.exp(-gate![i]!));
            return dy![i]! * up![i]! * (s + gate![i]! * s * (1 - s));
          }),
          dup: vector(T * F, (i) => (dy![i]! * gate![i]!) / (1 + Math.exp(-gate![i]!))),
        }),
        accuracy: dtype,
      }),
    ),
  );
}

export function sumCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return [
    operatorCase(`sum [${T}, ${D}]`, {
      tensors: { x: randomTensor('x', 'f32', [T, D]) },
      body: (t) => ({ y: ops.sum(t.x!) }),
      expected: ({ x }) => ({ y: [total(T * D, (i) => x![i]!)] }),
      wrt: ['x'],
    }),
  ];
}

export function sumOfSquaresCases({ tokens: T, dim: D, rows: R }: CaseSize): OperatorCase[] {
  return [
    operatorCase(`sumOfSquares [${T}, ${D}] [${R}] []`, {
      tensors: {
        x: randomTensor('x', 'f32', [T, D]),
        y: randomTensor('y', 'f32', [R]),
        z: randomTensor('z', 'f32', []),
      },
      body: (t) => ({ y: ops.sumOfSquares([t.x!, t.y!, t.z!]) }),
      expected: ({ x, y, z }) => ({
        y: [total(T * D, (i) => x![i]! ** 2) + total(R, (i) => y![i]! ** 2) + z![0]! ** 2],
      }),
      wrt: ['x', 'y', 'z'],
    }),
  ];
}

export function constantCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return [
    operatorCase(`constant [${T}, ${D}]`, {
      tensors: {},
      body: (_, trace) => ({ y: trace.constant(-0.75, [T, D]) }),
      expected: () => ({ y: vector(T * D, () => -0.75) }),
    }),
  ];
}

export function expandCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return [
    operatorCase(`expand [${T}, ${D}]`, {
      tensors: { x: randomTensor('x', 'f32', []) },
      body: (t) => ({ y: ops.expand(t.x!, [T, D]) }),
      expected: ({ x }) => ({ y: vector(T * D, () => x![0]!) }),
      wrt: ['x'],
    }),
  ];
}

const CAST_TYPES = ['f32', 'bf16', 'f16'] as const;

/** Every pair of floating types; the middle one is reached by a cast of its own where inputs cannot have it. */
export function castCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  const pairs = CAST_TYPES.flatMap((from) => CAST_TYPES.filter((to) => to !== from).map((to) => [from, to] as const));
  return pairs.map(([from, to]) =>
    operatorCase(`cast ${from} to ${to} [${T}, ${D}]`, {
      tensors: { x: randomTensor('x', 'f32', [T, D]) },
      body: (t) => ({ y: ops.cast(ops.cast(ops.cast(t.x!, from), to), 'f32') }),
      expected: ({ x }) => ({ y: x! }),
      wrt: ['x'],
      accuracy: 'bf16',
    }),
  );
}

function integers(x: Given): Given {
  return { ...x, values: Int32Array.from(x.values, (value) => value * 100) };
}

export function assignCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  return (['f32', 'bf16', 'i32'] as const).map((dtype) => {
    const tensor = (name: string, isState: boolean): Given => {
      const x = randomTensor(name, dtype, [T, D], isState);
      return dtype === 'i32' ? integers(x) : x;
    };
    return operatorCase(`assign ${dtype} [${T}, ${D}]`, {
      tensors: { state: tensor('state', true), value: tensor('value', false) },
      body: (t) => ({ y: ops.assign(t.state!, t.value!) }),
      expected: ({ value }) => ({ y: value!, 'state.state': value! }),
    });
  });
}

/** The third step of AdamW, with gradients scaled. */
export function adamwCases({ tokens: T, dim: D }: CaseSize): OperatorCase[] {
  const attrs = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
  const hyper = [0.01, 1 - attrs.beta1 ** 3, 1 - attrs.beta2 ** 3, 0.5] as const;
  const state = (name: string) => randomTensor(name, 'f32', [T, D], true);
  const v = state('v');
  return [
    operatorCase(`adamw [${T}, ${D}]`, {
      tensors: {
        param: state('param'),
        grad: state('grad'),
        m: state('m'),
        v: { ...v, values: Array.from(v.values, (value) => value ** 2) },
        hyper: given('f32', [4], hyper),
      },
      body: (t, trace) => {
        trace.apply('adamw', [t.param!, t.grad!, t.m!, t.v!, t.hyper!], attrs);
        return {};
      },
      expected: (values) => {
        const g = vector(T * D, (i) => values.grad![i]! * hyper[3]);
        const m = vector(T * D, (i) => 0.9 * values.m![i]! + 0.1 * g[i]!);
        const second = vector(T * D, (i) => 0.95 * values.v![i]! + 0.05 * g[i]! ** 2);
        const param = vector(T * D, (i) => {
          const decayed = values.param![i]! * (1 - 0.01 * 0.1); // arXiv:1711.05101, algorithm 2, line 12
          return decayed - (0.01 * (m[i]! / hyper[1])) / (Math.sqrt(second[i]! / hyper[2]) + attrs.eps);
        });
        return { 'state.param': param, 'state.grad': vector(T * D, () => 0), 'state.m': m, 'state.v': second };
      },
    }),
  ];
}

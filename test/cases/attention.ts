/**
 * Cases of attention and what surrounds it: several segments over shuffled blocks, cached keys, padding rows, grouped heads.
 *
 * T tokens, H query heads, K kv heads, E head dim, S slots.
 */
import type { DType } from '../../src/tensor/dtype.ts';
import type { AttentionAttrs } from '../../src/tensor/operators.ts';
import { integer, permutation, randomStream } from '../../src/util/rng.ts';
import { type Given, given, randomTensor } from '../support.ts';
import {
  type CaseSize,
  matrix,
  type Numbers,
  type OperatorCase,
  operatorCase,
  randomIds,
  total,
} from './operator-case.ts';
import { cacheWrite } from '../../src/tensor/ops.ts';

interface Layout {
  readonly segments: Given;
  readonly blocks: Given;
  readonly numSlots: number;
}

/** Splits the tokens into segments, the last two tokens in none; `cached` gives each up to 20 keys before its queries. */
function layoutOf(tokens: number, blockSize: number, cached: boolean): Layout {
  const stream = randomStream(1, `layout ${tokens}`);
  const rows: number[] = [];
  let numEntries = 0;
  for (let first = 0, n = 0; first < tokens - 2; n += 3) {
    const queries = Math.min(tokens - 2 - first, 1 + integer(stream, n, 1 + tokens / 2));
    const keys = queries + (cached ? integer(stream, n + 1, 21) : 0);
    rows.push(first, queries, keys, numEntries);
    first += queries;
    numEntries += Math.ceil(keys / blockSize);
    if (first > tokens / 2) rows.push(first, 0, 0, 0); // a segment that is not in use
  }
  const blocks = Int32Array.from(permutation(stream, numEntries + 1), (block) => block * blockSize).subarray(1);
  return {
    segments: given('i32', [rows.length / 4, 4], rows),
    blocks: given('i32', [numEntries], blocks),
    numSlots: (numEntries + 1) * blockSize,
  };
}

/** Calls back for each query and head with the slots that it sees. */
function forEachQuery(
  { segments, blocks }: Readonly<Record<string, Numbers>>,
  { numHeads, blockSize }: AttentionAttrs,
  visit: (row: number, head: number, slots: readonly number[]) => void,
): void {
  for (let n = 0; n < segments!.length / 4; n++) {
    const [first, queries, keys, entry] = [0, 1, 2, 3].map((i) => segments![n * 4 + i]!) as [
      number,
      number,
      number,
      number,
    ];
    const slots = Array.from({ length: keys }, (_, j) => blocks![entry + Math.floor(j / blockSize)]! + (j % blockSize));
    for (let i = 0; i < queries; i++) {
      for (let head = 0; head < numHeads; head++) visit(first + i, head, slots.slice(0, keys - queries + i + 1));
    }
  }
}

/** Softmax weights of one query over its slots, and the logarithm of their denominator. */
function weightsOf(
  v: Readonly<Record<string, Numbers>>,
  attrs: AttentionAttrs,
  row: number,
  head: number,
  slots: readonly number[],
) {
  const { numHeads: H, numKvHeads: K, headDim: E, scale } = attrs;
  const kvHead = Math.floor((head * K) / H);
  const scores = slots.map((slot) => {
    return scale * total(E, (e) => v.q![(row * H + head) * E + e]! * v.k![(slot * K + kvHead) * E + e]!);
  });
  const denominator = total(slots.length, (j) => Math.exp(scores[j]!));
  return { kvHead, weights: scores.map((score) => Math.exp(score) / denominator), logSumExp: Math.log(denominator) };
}

function attentionOf(v: Readonly<Record<string, Numbers>>, attrs: AttentionAttrs, T: number) {
  const { numHeads: H, numKvHeads: K, headDim: E } = attrs;
  const [y, logSumExp] = [new Float64Array(T * H * E), new Float64Array(T * H)];
  forEachQuery(v, attrs, (row, head, slots) => {
    const { kvHead, weights, logSumExp: normaliser } = weightsOf(v, attrs, row, head, slots);
    logSumExp[row * H + head] = normaliser;
    for (let e = 0; e < E; e++) {
      y[(row * H + head) * E + e] = total(slots.length, (j) => weights[j]! * v.v![(slots[j]! * K + kvHead) * E + e]!);
    }
  });
  return { y, logSumExp };
}

function attentionGradOf(v: Readonly<Record<string, Numbers>>, attrs: AttentionAttrs) {
  const { numHeads: H, numKvHeads: K, headDim: E, scale } = attrs;
  const [dq, dk, dv] = [v.q!, v.k!, v.v!].map(({ length }) => new Float64Array(length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  forEachQuery(v, attrs, (row, head, slots) => {
    const { kvHead, weights } = weightsOf(v, attrs, row, head, slots);
    const at = (e: number) => (row * H + head) * E + e;
    const kvAt = (j: number, e: number) => (slots[j]! * K + kvHead) * E + e;
    const dWeights = slots.map((_, j) => total(E, (e) => v.dout![at(e)]! * v.v![kvAt(j, e)]!));
    const mean = total(slots.length, (j) => weights[j]! * dWeights[j]!);
    for (let j = 0; j < slots.length; j++) {
      const dScore = scale * weights[j]! * (dWeights[j]! - mean);
      for (let e = 0; e < E; e++) {
        dq[at(e)]! += dScore * v.k![kvAt(j, e)]!;
        dk[kvAt(j, e)]! += dScore * v.q![at(e)]!;
        dv[kvAt(j, e)]! += weights[j]! * v.dout![at(e)]!;
      }
    }
  });
  return { dq, dk, dv };
}

/** Values of a cache. Those of 8 bits are chosen so that rounding loses nothing: whole multiples of 1/32 up to 127 in every block of 32. */
function cacheTensor(name: string, dtype: DType, [rows, columns]: readonly [number, number], isState: boolean): Given {
  if (dtype !== 'row_q8') return randomTensor(name, dtype, [rows, columns], isState);
  const stream = randomStream(1, name);
  const values = matrix([rows, columns], (row, column) => {
    const whole = column % 32 === 0 ? 127 : integer(stream, row * columns + column, 255) - 127;
    return whole / 32;
  });
  return given(dtype, [rows, columns], values, true);
}

const ATTENTION_TYPES = [
  { q: 'f32', kv: 'f32', out: 'f32', numHeads: 4, numKvHeads: 2, blockSize: 4 },
  { q: 'f32', kv: 'f32', out: 'f32', numHeads: 3, numKvHeads: 1, blockSize: 1 },
  { q: 'f32', kv: 'f16', out: 'f32', numHeads: 2, numKvHeads: 2, blockSize: 16 },
  { q: 'bf16', kv: 'f16', out: 'bf16', numHeads: 2, numKvHeads: 1, blockSize: 3 },
  { q: 'f32', kv: 'bf16', out: 'f32', numHeads: 2, numKvHeads: 1, blockSize: 16 },
  { q: 'bf16', kv: 'bf16', out: 'bf16', numHeads: 4, numKvHeads: 2, blockSize: 64 },
  { q: 'f32', kv: 'row_q8', out: 'f32', numHeads: 4, numKvHeads: 2, blockSize: 16 },
] as const;

/** Cached and uncached attention; head dim is 2 * dim. */
export function attentionCases({ tokens: T, dim }: CaseSize): OperatorCase[] {
  return ATTENTION_TYPES.flatMap(({ q, kv, ...rest }) =>
    [false, true].map((cached) => {
      const E = 2 * dim;
      const attrs: AttentionAttrs = { ...rest, headDim: E, scale: E ** -0.5 };
      const { segments, blocks, numSlots } = layoutOf(T, attrs.blockSize, cached);
      const form = `${attrs.numHeads} / ${attrs.numKvHeads} heads, blocks of ${attrs.blockSize}${cached ? ', cached' : ''}`;
      return operatorCase(`attention ${q} over ${kv} to ${attrs.out}, ${form}, [${T}, ${E}]`, {
        tensors: {
          q: randomTensor('q', q, [T, attrs.numHeads * E]),
          k: cacheTensor('k', kv, [numSlots, attrs.numKvHeads * E], kv === 'f16'),
          v: cacheTensor('v', kv, [numSlots, attrs.numKvHeads * E], kv === 'f16'),
          segments,
          blocks,
        },
        body: (t, trace) => {
          const [y, logSumExp] = trace.apply('attention', [t.q!, t.k!, t.v!, t.segments!, t.blocks!], attrs);
          return { y: y!, logSumExp: logSumExp! };
        },
        expected: (values) => attentionOf(values, attrs, T),
        wrt: cached || kv === 'f16' || kv === 'row_q8' ? [] : ['q', 'k', 'v'],
      });
    }),
  );
}

/** The gradient of attention over packed segments. */
export function attentionGradCases({ tokens: T, dim }: CaseSize): OperatorCase[] {
  const types = ATTENTION_TYPES.filter(({ kv }) => kv !== 'f16' && kv !== 'row_q8');
  return types.map(({ q, kv, ...rest }) => {
    const E = 2 * dim;
    const attrs: AttentionAttrs = { ...rest, headDim: E, scale: E ** -0.5 };
    const { segments, blocks, numSlots } = layoutOf(T, attrs.blockSize, false);
    const forward: Record<string, Given> = {
      q: randomTensor('q', q, [T, attrs.numHeads * E]),
      k: randomTensor('k', kv, [numSlots, attrs.numKvHeads * E]),
      v: randomTensor('v', kv, [numSlots, attrs.numKvHeads * E]),
      segments,
      blocks,
    };
    const names = ['dout', 'q', 'k', 'v', 'out', 'logSumExp', 'segments', 'blocks'];
    const form = `${attrs.numHeads} / ${attrs.numKvHeads} heads, blocks of ${attrs.blockSize}`;
    const values = Object.fromEntries(Object.entries(forward).map(([name, tensor]) => [name, tensor.values]));
    const { y, logSumExp } = attentionOf(values, attrs, T);
    return operatorCase(`attentionGrad ${q} over ${kv}, ${form}, [${T}, ${E}]`, {
      tensors: {
        ...forward,
        dout: randomTensor('dout', attrs.out, [T, attrs.numHeads * E]),
        out: given(attrs.out, [T, attrs.numHeads * E], y),
        logSumExp: given('f32', [T, attrs.numHeads], logSumExp),
      },
      body: (t, trace) => {
        const [dq, dk, dv] = trace.apply(
          'attentionGrad',
          names.map((name) => t[name]!),
          attrs,
        );
        return { dq: dq!, dk: dk!, dv: dv! };
      },
      expected: (v) => attentionGradOf(v, attrs),
    });
  });
}

/** Rotary positions in both directions; head dim is 2 * dim, three heads. */
export function ropeCases({ tokens: T, dim, rows }: CaseSize): OperatorCase[] {
  const E = 2 * dim;
  const width = 3 * E;
  const angle = (position: number, i: number) => position * 10 ** (-i / E);
  return (['f32', 'bf16'] as const).flatMap((dtype) =>
    [false, true].map((inverse) =>
      operatorCase(`rope ${dtype}${inverse ? ' inverse' : ''} [${T}, ${width}]`, {
        tensors: {
          x: randomTensor('x', dtype, [T, width]),
          table: given(
            'f32',
            [rows, E],
            matrix([rows, E], (p, i) => (i % 2 === 0 ? Math.cos(angle(p, i)) : Math.sin(angle(p, i - 1)))),
          ),
          positions: randomIds('positions', T, rows),
        },
        body: (t, trace) => ({
          y: trace.apply('rope', [t.x!, t.table!, t.positions!], { headDim: E, inverse })[0]!,
        }),
        expected: ({ x, positions }) => ({
          // Each pair as a complex number times exp(i * angle).
          y: matrix([T, width], (t, i) => {
            const turn = (inverse ? -1 : 1) * angle(positions![t]!, (i % E) - (i % 2));
            const [re, im] = [x![t * width + i - (i % 2)]!, x![t * width + i - (i % 2) + 1]!];
            return i % 2 === 0 ? re * Math.cos(turn) - im * Math.sin(turn) : re * Math.sin(turn) + im * Math.cos(turn);
          }),
        }),
        wrt: ['x'],
      }),
    ),
  );
}

/** Rows written to distinct slots, every fourth skipped. */
export function cacheWriteCases({ tokens: T, dim: C }: CaseSize): OperatorCase[] {
  const types: readonly (readonly [cache: DType, x: DType])[] = [
    ['f32', 'f32'],
    ['bf16', 'f32'],
    ['bf16', 'bf16'],
    ['f16', 'f32'],
    ['f16', 'bf16'],
    ['f32', 'bf16'],
    ['row_q8', 'f32'],
  ];
  const S = T + 3;
  const slots = Int32Array.from(permutation(randomStream(1, 'slots'), S).subarray(0, T), (slot, t) =>
    t % 4 === 2 ? -1 : slot,
  );
  return types.map(([cache, x]) =>
    operatorCase(`cacheWrite ${x} into ${cache} [${T}, ${C}]`, {
      tensors: {
        cache: cacheTensor('cache', cache, [S, C], true),
        x:
          cache === 'row_q8'
            ? { ...cacheTensor('x', cache, [T, C], false), dtype: x, isState: false }
            : randomTensor('x', x, [T, C]),
        slots: given('i32', [T], slots),
      },
      body: (t) => ({ y: cacheWrite(t.cache!, t.x!, t.slots!) }),
      expected: (v) => {
        const written = matrix([S, C], (slot, c) => {
          const t = Array.from(v.slots!).indexOf(slot);
          return t === -1 ? v.cache![slot * C + c]! : v.x![t * C + c]!;
        });
        return { y: written, 'state.cache': written };
      },
    }),
  );
}

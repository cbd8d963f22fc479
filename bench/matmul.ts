/**
 * The matrix products of a training step and of decoding, as shares of what the same threads reach on registers alone (multiply-adds) or
 * by reading memory: all measured in turn. Times are the kernels' own, without the way through JavaScript.
 *
 *   npx tsx bench/matmul.ts [--rounds N] [--threads N] [--isa NAME] [--only TEXT] [--json]
 */
import { parseArgs } from 'node:util';
import { compile, type StateStore } from '../src/runtime/compile.ts';
import { createNativeBackend, type NativeBackend } from '../src/runtime/native.ts';
import { byteLength, type DType, numValues, type Shape } from '../src/tensor/dtype.ts';
import { trace } from '../src/tensor/graph.ts';
import { matmul } from '../src/tensor/ops.ts';
import type { FloatType, Precision } from '../src/tensor/operators.ts';
import { type Contender, interleave, report, type Timing } from './interleave.ts';

interface Product {
  readonly name: string;
  readonly a: Shape;
  readonly b: Shape;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly precision: Precision;
  readonly aType: FloatType;
  readonly bType: DType;
  readonly out: FloatType;
  /** Different weights that are multiplied in one run, so that they come from memory. */
  readonly weights: number;
  readonly limit: 'f32' | 'bf16' | 'readBandwidth';
}

interface Row {
  readonly name: string;
  readonly milliseconds: number;
  /** Gop/s or GB/s. */
  readonly rate: number;
  readonly share: number;
}

const PROBES = { f32: 'multiplyAddF32', bf16: 'multiplyAddBf16', readBandwidth: 'readBandwidth' } as const;
const PROBE_BYTES = 2 ** 28;
const DECODE_WEIGHT_BYTES = 96 * 2 ** 20;

/** The three products of a linear layer in training: forward, gradient of the input, gradient of the weight. */
function trainingProducts(tokens: number, inner: number, outer: number, precision: Precision): Product[] {
  const shared = { precision, aType: 'f32', bType: 'f32', out: 'f32', weights: 1, limit: precision } as const;
  const label = `${precision} ${tokens} x (${inner}, ${outer})`;
  const [x, dy, weight] = [
    [tokens, inner],
    [tokens, outer],
    [outer, inner],
  ] as const;
  return [
    { ...shared, name: `${label} x W^T`, a: x, b: weight, transposeA: false, transposeB: true },
    { ...shared, name: `${label} dy W`, a: dy, b: weight, transposeA: false, transposeB: false },
    { ...shared, name: `${label} dy^T x`, a: dy, b: x, transposeA: true, transposeB: false },
  ];
}

/** The same with activations kept in bf16, as mixed precision has them. */
function mixedProducts(tokens: number, inner: number, outer: number): Product[] {
  return trainingProducts(tokens, inner, outer, 'bf16').map((product) =>
    Object.assign(product, {
      name: `${product.name} (bf16 operands)`,
      aType: 'bf16',
      bType: product.transposeA ? 'bf16' : 'f32',
      out: product.transposeA ? 'f32' : 'bf16',
    }),
  );
}

/** Few rows by weights in panels that no cache holds. */
function decodeProduct(rows: number, inner: number, outer: number, precision: Precision): Product {
  const bType = `panel_${precision}` as const;
  return {
    name: `${precision} panels, ${rows} row${rows > 1 ? 's' : ''} x (${inner}, ${outer})`,
    a: [rows, inner],
    b: [outer, inner],
    transposeA: false,
    transposeB: true,
    precision,
    aType: 'f32',
    bType,
    out: 'f32',
    weights: Math.ceil(DECODE_WEIGHT_BYTES / byteLength(bType, [outer, inner])),
    limit: 'readBandwidth',
  };
}

function listProducts(): Product[] {
  const both = ['f32', 'bf16'] as const;
  const layers = [[512, 512], [512, 256], [512, 1536], [1536, 512]] as const; // prettier-ignore
  return [
    ...both.flatMap((precision) => trainingProducts(512, 2048, 2048, precision).slice(0, 1)),
    ...both.flatMap((precision) => layers.flatMap(([inner, outer]) => trainingProducts(4096, inner, outer, precision))),
    ...layers.flatMap(([inner, outer]) => mixedProducts(4096, inner, outer)),
    ...both.flatMap((precision) => [1, 4, 16].map((rows) => decodeProduct(rows, 2048, 2048, precision))),
    ...both.map((precision) => decodeProduct(1, 512, 1536, precision)),
  ];
}

/** A contender that runs a product and reports the seconds of its kernel. */
function contenderOf(backend: NativeBackend, product: Product): Contender {
  const { name, a, b, transposeA, transposeB, precision, aType, bType, out, weights } = product;
  const states: StateStore = new Map();
  const names = Array.from({ length: weights }, (_, i) => `b${i}`);
  const graph = trace((t) => {
    const left = t.state('a', aType, a);
    for (const weight of names)
      t.output(weight, matmul(left, t.state(weight, bType, b), { transposeA, transposeB, precision, out }));
  });
  for (const { name: state, dtype, shape } of graph.states) states.set(state, filled(backend, dtype, shape));
  const executable = compile(graph, backend, states);
  const measure = async () => {
    await executable.run({});
    return { seconds: backend.profile().find(({ op }) => op === 'matmul')!.seconds };
  };
  return { name, measure };
}

function filled(backend: NativeBackend, dtype: DType, shape: Shape) {
  const storage = backend.createStorage(dtype, shape);
  storage.write(Float32Array.from({ length: numValues(shape) }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5));
  return storage;
}

function amountOf({ a, b, transposeA, transposeB, bType, weights, limit }: Product): number {
  if (limit === 'readBandwidth') return weights * byteLength(bType, b);
  return 2 * a[transposeA ? 1 : 0]! * a[transposeA ? 0 : 1]! * b[transposeB ? 0 : 1]!;
}

function render(rows: readonly Row[], limits: readonly Timing[]): string[] {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const line = ({ name, milliseconds, rate, share }: Row) =>
    `${name.padEnd(width)} ${milliseconds.toFixed(3).padStart(9)} ms ${rate.toFixed(1).padStart(7)} G/s ${(100 * share).toFixed(1).padStart(6)} %`;
  return [
    ...limits.map(({ name, minSeconds }) => `limit ${name}: ${(1e-9 / minSeconds).toFixed(1)} G/s`),
    ...rows.map(line),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '15' },
      threads: { type: 'string' },
      isa: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  });
  const backend = createNativeBackend({
    ...(values.threads && { threads: Number(values.threads) }),
    ...(values.isa && { isa: values.isa }),
  });
  const products = listProducts().filter(({ name }) => name.includes(values.only));
  const limits = Object.entries(PROBES).map(([name, probe]) => ({
    name,
    measure: async () => ({ seconds: 1 / (await backend.probe(probe, PROBE_BYTES)) }),
  }));
  const contenders = [...limits, ...products.map((product) => contenderOf(backend, product))];
  const timings = await interleave(contenders, { rounds: Number(values.rounds), warmups: 2 });
  const limitOf = new Map(timings.slice(0, limits.length).map(({ name, minSeconds }) => [name, 1 / minSeconds]));
  const rows = products.map((product, i): Row => {
    const { name, minSeconds } = timings[limits.length + i]!;
    const rate = amountOf(product) / minSeconds;
    return { name, milliseconds: 1e3 * minSeconds, rate: rate / 1e9, share: rate / limitOf.get(product.limit)! };
  });
  report(values.json, { isa: backend.isa, threads: backend.threads, rows }, () =>
    render(rows, timings.slice(0, limits.length)),
  );
}

await main();

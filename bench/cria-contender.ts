/**
 * Our kernels as a contender of bench/compute-options.ts: `node --import tsx cria-contender.ts f32|bf16 THREADS`, then lines `gemm` (seconds
 * of 512 x 2048 x 2048), `decode` and `prefill` (seconds of one and of 512 tokens: the products of Llama 3.2 1B).
 */
import { compile, createStates, type StateStore } from '../src/runtime/compile.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import type { Executable } from '../src/runtime/backend.ts';
import { numValues, type Shape } from '../src/tensor/dtype.ts';
import { type Tensor, type Trace, trace } from '../src/tensor/graph.ts';
import type { Precision } from '../src/tensor/operators.ts';
import { linear, swiglu } from '../src/tensor/ops.ts';
import { timed } from './interleave.ts';
import { serveLines } from './serve-lines.ts';
import { CONFIG_1B, GEMM, LAYER_MATRICES, PREFILL_TOKENS } from './shape-1b.ts';

/** Layers take turns with these sets of weights: far more than any cache holds, at a quarter of the memory. */
const WEIGHT_SETS = 4;
/** The output matrix in parts, so that no single array of its values is needed. */
const OUTPUT_PARTS = 8;

const precision = process.argv[2] as Precision;
const backend = createNativeBackend({ threads: Number(process.argv[3]) });
const states: StateStore = new Map();
const weightType = `panel_${precision}` as const;

function weightShapes(): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (let set = 0; set < WEIGHT_SETS; set++)
    for (const [name, shape] of LAYER_MATRICES) shapes.set(`${set}.${name}`, shape);
  const { vocabSize, dim } = CONFIG_1B;
  for (let part = 0; part < OUTPUT_PARTS; part++) shapes.set(`output.${part}`, [vocabSize / OUTPUT_PARTS, dim]);
  return shapes;
}

/** Memory that is only reserved reads faster than memory that holds something, so every weight is written. */
function createWeights(): void {
  const shapes = weightShapes();
  createStates(backend, states, shapes, weightType);
  for (const [name, shape] of shapes) states.get(name)!.write(new Float32Array(numValues(shape)).fill(1 / 1024));
}

/** One layer's products; the attention between them is left out. */
function layerProducts(t: Trace, x: Tensor, layer: number): Tensor {
  const product = (input: Tensor, name: string) => {
    const shape = LAYER_MATRICES.get(`${name}.weight`)!;
    return linear(input, t.state(`${layer % WEIGHT_SETS}.${name}.weight`, weightType, shape), precision);
  };
  t.output(`k.${layer}`, product(x, 'attention.wk'));
  t.output(`v.${layer}`, product(x, 'attention.wv'));
  const h = product(product(x, 'attention.wq'), 'attention.wo');
  return product(swiglu(product(h, 'feed_forward.w1'), product(h, 'feed_forward.w3')), 'feed_forward.w2');
}

function tokenProducts(numTokens: number): Executable {
  const { vocabSize, dim, numLayers } = CONFIG_1B;
  const graph = trace((t) => {
    let x = t.constant(1 / 1024, [numTokens, dim]);
    for (let layer = 0; layer < numLayers; layer++) x = layerProducts(t, x, layer);
    const last = numTokens === 1 ? x : t.constant(1 / 1024, [1, dim]); // a prompt needs the logits of its last token only
    for (let part = 0; part < OUTPUT_PARTS; part++) {
      const weight = t.state(`output.${part}`, weightType, [vocabSize / OUTPUT_PARTS, dim]);
      t.output(`logits.${part}`, linear(last, weight, precision));
    }
    if (numTokens > 1) t.output('hidden', x);
  });
  return compile(graph, backend, states);
}

/** c = a * b with both operands as plain rows, as in training: packing them is part of the work. */
function matrixProduct(): Executable {
  const { m, n, k } = GEMM;
  const operands: StateStore = new Map();
  createStates(
    backend,
    operands,
    new Map([
      ['a', [m, k]],
      ['b', [n, k]],
      ['c', [m, n]],
    ]),
    'f32',
  );
  for (const name of ['a', 'b'])
    operands.get(name)!.write(new Float32Array(numValues(operands.get(name)!.shape)).fill(0.5));
  const graph = trace((t) => {
    const c = linear(t.state('a', 'f32', [m, k]), t.state('b', 'f32', [n, k]), precision);
    t.apply('assign', [t.state('c', 'f32', [m, n]), c], {});
  });
  return compile(graph, backend, operands);
}

createWeights();
const [gemm, decode, prefill] = [matrixProduct(), tokenProducts(1), tokenProducts(PREFILL_TOKENS)];
await serveLines({
  gemm: () => timed(() => gemm.run({})),
  decode: () => timed(() => decode.run({})),
  prefill: () => timed(() => prefill.run({})),
});

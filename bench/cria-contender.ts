/**
 * Our kernels as a contender of bench/compute-options.ts: `node --import tsx cria-contender.ts f32|bf16|q8|q4 whole|part THREADS`, then lines
 * `decode` and `prefill` (seconds of one and of 512 tokens of Llama 3.2 1B, through the engine) and, for f32 and bf16, `gemm` (seconds of
 * 512 x 2048 x 2048). The second argument is the extent of the model, see shape-1b.ts.
 */
import { measureGeneration } from '../src/cli/measure-generation.ts';
import { randomModel } from '../src/infer/model.ts';
import { precisionOf, type WeightType } from '../src/infer/weight-type.ts';
import type { Backend, Executable } from '../src/runtime/backend.ts';
import { compile, createStates, type StateStore } from '../src/runtime/compile.ts';
import { createNativeBackend } from '../src/runtime/native.ts';
import { numValues } from '../src/tensor/dtype.ts';
import { trace } from '../src/tensor/graph.ts';
import type { Precision } from '../src/tensor/operators.ts';
import { assign, linear } from '../src/tensor/ops.ts';
import { timed } from './interleave.ts';
import { serveLines } from './serve-lines.ts';
import { CONFIG_1B, decodeScale, EXTENTS, type Extent, GEMM, prefillScale } from './shape-1b.ts';
import { PREFILL_TOKENS } from './workloads.ts';

// As the peers: a short prompt, then enough tokens to time.
const DECODE = { promptTokens: 8, genTokens: 18, concurrency: 1 };
const PREFILL = { promptTokens: PREFILL_TOKENS, genTokens: 4, concurrency: 1 };

/** c = a * b with both operands as plain rows, as in training: packing them is part of the work. */
function matrixProduct(backend: Backend, precision: Precision): Executable {
  const { m, n, k } = GEMM;
  const shapes = { a: [m, k], b: [n, k], c: [m, n] };
  const states: StateStore = new Map();
  createStates(backend, states, new Map(Object.entries(shapes)), 'f32');
  // Memory that was only reserved reads faster than memory that holds something.
  for (const storage of states.values()) storage.write(new Float32Array(numValues(storage.shape)).fill(0.5));
  const graph = trace((t) => {
    const c = linear(t.state('a', 'f32', shapes.a), t.state('b', 'f32', shapes.b), precision);
    assign(t.state('c', 'f32', shapes.c), c);
  });
  return compile(graph, backend, states);
}

const weightType = process.argv[2] as WeightType;
const [extent, threads] = [process.argv[3] as Extent, Number(process.argv[4])];
const backend = createNativeBackend({ threads });
const model = randomModel({ ...CONFIG_1B, ...EXTENTS[extent] }, backend, {
  weightType,
  kvType: weightType === 'f32' ? 'f32' : 'f16', // llama.cpp's default is f16
  contextLength: PREFILL_TOKENS + PREFILL.genTokens,
  batch: 1,
});
const product = matrixProduct(backend, precisionOf(weightType));

await serveLines({
  decode: async () => {
    const { decodeTps } = await measureGeneration(model, DECODE);
    return { seconds: decodeScale(extent) / decodeTps };
  },
  prefill: async () => {
    const { prefillTps } = await measureGeneration(model, PREFILL);
    return { seconds: (prefillScale(extent) * PREFILL_TOKENS) / prefillTps };
  },
  gemm: () => timed(() => product.run({})),
});

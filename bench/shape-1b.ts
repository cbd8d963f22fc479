/**
 * The work that ways to compute are compared by: the products of one token, and of a prompt, in Llama 3.2 1B, and one product of matrices.
 */
import { llamaWeightShapes } from '../src/model/config.ts';
import { sizeConfig } from '../src/model/sizes.ts';
import { numValues } from '../src/tensor/dtype.ts';

export const CONFIG_1B = sizeConfig('llama3.2-1b');
export const PREFILL_TOKENS = 512;

/** Weights in the matrices of one layer. */
export const LAYER_WEIGHTS = layerWeights();
const OUTPUT_WEIGHTS = CONFIG_1B.vocabSize * CONFIG_1B.dim;

/** Weights that the products of one token read. */
export const TOKEN_WEIGHTS = weightsOfToken(CONFIG_1B.numLayers);

/** The product of matrices: c [M, N], K terms a sum. */
export const GEMM = { m: PREFILL_TOKENS, n: 2048, k: 2048 };
export const GEMM_FLOPS = 2 * GEMM.m * GEMM.n * GEMM.k;

/** Weights that the products of one token read in a model of this shape with fewer layers. */
export function weightsOfToken(numLayers: number): number {
  return numLayers * LAYER_WEIGHTS + OUTPUT_WEIGHTS;
}

function layerWeights(): number {
  const matrices = [...llamaWeightShapes(CONFIG_1B)].filter(
    ([name, shape]) => name.startsWith('layers.0.') && shape.length === 2,
  );
  return matrices.reduce((total, [, shape]) => total + numValues(shape), 0);
}
